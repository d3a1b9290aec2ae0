"""Layer, RMS, instance, group and local response normalisation; scale and bias are the kernel's epilogue."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Array, Editor, Node
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.schedules.expression import Arg, Const, Expr, call
from tvmopt.schedules.workload import Attr, Tensor

Factor = str | Array | None
"""A scale or bias: the name of a value, or a constant; None where there is none."""


def layer_norm(editor: Editor, node: Node) -> bool:
    """LayerNormalization and RMSNormalization over the last axes; the mean and inverse deviation as reductions."""
    data = node.inputs[0]
    tensor, values = editor.graph.tensor(data), attributes(node)
    rank = len(tensor.shape)
    if data in editor.constants or tensor.dtype != "float32" or rank == 0:
        return False
    axis = int(values.get("axis", -1)) % rank
    row = tensor.shape[axis:]
    if not all(_repeats_by_row(editor, name, row) for name in node.inputs[1:]):
        return False
    factors = [_over_row(editor, name, row) for name in node.inputs[1:]]
    epsilon = float(values.get("epsilon", 1e-5))
    attrs: dict[str, Attr] = {"kind": _KINDS[node.kind], "epsilon": epsilon, "axis": axis}
    outputs = dict(zip(_made(node), node.outputs, strict=True))
    if 0 in outputs:
        add_norm(editor, Node("row_norm", (data,), (outputs[0],), node.layers, attrs), factors)
    _add_statistics(editor, node, outputs, (axis, epsilon))
    return True


_LEAST_BLOCK = 4
"""Channels of a block on the target with the shortest vectors."""
_KINDS = {"LayerNormalization": "standard", "RMSNormalization": "rms"}


def _made(node: Node) -> list[int]:
    """Which of ONNX's outputs the node has."""
    assert node.proto is not None
    return [i for i, name in enumerate(node.proto.output) if name]


def _repeats_by_row(editor: Editor, name: str, row: tuple[int, ...]) -> bool:
    """Whether the kernel can read a factor with each row: a constant, or a value of the row's shape."""
    if not name or name in editor.constants:
        return True
    tensor = editor.graph.tensor(name)
    return tensor.shape == row and tensor.dtype == "float32"


def _over_row(editor: Editor, name: str, row: tuple[int, ...]) -> Factor:
    if not name:
        return None
    constant = editor.constants.get(name)
    return name if constant is None else np.ascontiguousarray(np.broadcast_to(constant, row))


def _add_statistics(editor: Editor, node: Node, outputs: dict[int, str], how: tuple[int, float]) -> None:
    """The mean and the inverse deviation of each row, where the model reads them."""
    data, (axis, epsilon) = node.inputs[0], how
    shape = editor.graph.tensor(data).shape
    means = Tensor((*shape[:axis], *[1] * (len(shape) - axis)))
    attrs: dict[str, Attr] = {"kind": "mean", "axes": tuple(range(axis, len(shape)))}

    def mean(of: str, into: str) -> None:
        editor.add(Node("reduce", (of,), (into,), node.layers, attrs))

    def pointwise(inputs: tuple[str, ...], into: str, expr: Expr) -> None:
        editor.add(Node("pointwise", inputs, (into,), node.layers, {}, expr))

    if 1 in outputs or 2 in outputs:
        average = outputs.get(1) or editor.value(f"{data}_mean", means)
        mean(data, average)
    if 2 in outputs:
        squares = editor.value(f"{data}_squares", Tensor(shape))
        variance = editor.value(f"{data}_variance", means)
        deviation = call("sub", Arg(0), Arg(1))
        pointwise((data, average), squares, call("mul", deviation, deviation))
        mean(squares, variance)
        pointwise((variance,), outputs[2], call("reciprocal", call("sqrt", call("add", Arg(0), Const(epsilon)))))


def map_norm(editor: Editor, node: Node) -> bool:
    """InstanceNormalization of maps of any rank."""
    data = node.inputs[0]
    tensor, values = editor.graph.tensor(data), attributes(node)
    if data in editor.constants or tensor.dtype != "float32" or len(tensor.shape) < 3:
        return False
    if any(name not in editor.constants for name in node.inputs[1:]):
        return False
    attrs: dict[str, Attr] = {"kind": "standard", "epsilon": float(values.get("epsilon", 1e-5))}
    attrs["groups"] = tensor.shape[1]
    factors = [editor.constants[name] for name in node.inputs[1:]]
    add_map_norm(editor, Node("map_norm", (data,), node.outputs, node.layers, attrs), factors)
    return True


def local_response(editor: Editor, node: Node) -> bool:
    """LRN of maps in two dimensions, the only ones of onnxruntime.

    Each side of its window must fit into a block of channels, on every target.
    """
    data = node.inputs[0]
    tensor, values = editor.graph.tensor(data), attributes(node)
    if data in editor.constants or tensor.dtype != "float32" or len(tensor.shape) != 4:
        return False
    size = int(values["size"])
    if size // 2 > _LEAST_BLOCK:
        return False
    attrs: dict[str, Attr] = {"size": size, "alpha": float(values.get("alpha", 1e-4))}
    attrs |= {"beta": float(values.get("beta", 0.75)), "bias": float(values.get("bias", 1.0))}
    editor.add(Node("lrn", (data,), node.outputs, node.layers, attrs))
    return True


def add_map_norm(editor: Editor, node: Node, factors: Sequence[Array]) -> None:
    """Adds a ``map_norm`` of maps of any rank, seen in two dimensions, with factors for each channel."""
    shape, result = editor.values[node.inputs[0]].shape, editor.values[node.output].shape
    maps = as_maps(shape)
    source, made = node.inputs[0], node.output
    if shape != maps:
        source = editor.value(f"{made}_maps", Tensor(maps))
        editor.add(Node("reshape", node.inputs[:1], (source,), node.layers))
    if result != maps:
        made = editor.value(f"{node.output}_normalized", Tensor(maps))
    by_channel = [array.reshape(1, -1, 1, 1) for array in factors]
    inputs = (source, *node.inputs[1:])
    add_norm(editor, Node("map_norm", inputs, (made,), node.layers, node.attrs, node.epilogue), by_channel)
    if result != maps:
        editor.add(Node("reshape", (made,), node.outputs, node.layers))


def as_maps(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """The shape of maps, ``(images, channels, …)``, in two dimensions."""
    rows = math.prod(shape[2:-1])
    return (shape[0], shape[1], rows, shape[-1] if len(shape) > 2 else 1)


def add_norm(editor: Editor, node: Node, factors: Sequence[Factor]) -> None:
    """Adds a normalisation with its scale and bias (in this order, each as far as given) as epilogue."""
    names, epilogue = list(node.inputs), node.epilogue
    for function, factor, neutral in zip(("mul", "add"), factors, (1.0, 0.0), strict=False):
        if factor is None or (isinstance(factor, np.ndarray) and bool((factor == neutral).all())):
            continue
        stem = f"{node.output}_{'scale' if function == 'mul' else 'bias'}"
        names.append(factor if isinstance(factor, str) else editor.constant(stem, factor.astype(np.float32)))
        epilogue = call(function, epilogue, Arg(len(names) - 1))
    editor.add(Node(node.op, tuple(names), node.outputs, node.layers, node.attrs, epilogue))


RULES: dict[str, Rule] = {
    **dict.fromkeys(_KINDS, layer_norm),
    "InstanceNormalization": map_norm,
    "LRN": local_response,
}
