"""Reshapes, concatenation, softmax, reductions, resizing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node, Origin
from tvmopt.pipeline.graph.recognize.identity import nothing
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx, add_slice
from tvmopt.pipeline.graph.recognize.pooling import whole_map_attrs
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.pipeline.importers.onnx_form.rewrites.resize_tables import AxisResize, tables
from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.expression import Arg, Const, Expr, call
from tvmopt.schedules.workload import Attr, Tensor

_LAST = float(np.finfo(np.float32).max)

REDUCTIONS = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max", "ReduceMin": "min"}


def reshape(editor: Editor, node: Node) -> bool:
    """Operators that only give the same elements another shape."""
    if node.inputs[0] in editor.constants:
        return False
    editor.add(Node("reshape", node.inputs[:1], node.outputs, node.layers))
    return True


def transpose(editor: Editor, node: Node) -> bool:
    """Transposes that only move dimensions of size one, so that no element moves."""
    shape = editor.graph.tensor(node.inputs[0]).shape
    axes = attributes(node).get("perm", range(len(shape))[::-1])
    return keeps_order(shape, axes) and reshape(editor, node)


def expand(editor: Editor, node: Node) -> bool:
    """Expand that repeats nothing."""
    same = editor.graph.tensor(node.inputs[0]).elements == editor.graph.tensor(node.output).elements
    return same and reshape(editor, node)


def keeps_order(shape: tuple[int, ...], axes: Sequence[int]) -> bool:
    """Whether the elements of a tensor of `shape` stay where they are in memory when its axes are permuted."""
    moved = [axis for axis in axes if shape[axis] > 1]
    return moved == sorted(moved)


def gather(editor: Editor, node: Node) -> bool:
    """Gather of one constant index, such as the last time step, as a slice."""
    data, place = node.inputs
    if data in editor.constants or place not in editor.constants or editor.constants[place].ndim:
        return False
    tensor = editor.graph.tensor(data)
    axis = int(attributes(node).get("axis", 0)) % len(tensor.shape)
    first = int(editor.constants[place]) % tensor.shape[axis]
    sliced = add_slice(editor, node, data, {axis: (first, first + 1)})
    editor.add(Node("reshape", (sliced,), node.outputs, node.layers))
    return True


def depth_to_space(editor: Editor, node: Node) -> bool:
    """DepthToSpace in either order."""
    if node.inputs[0] in editor.constants or editor.graph.tensor(node.inputs[0]).dtype not in (FLOAT32, QUANTIZED):
        return False
    values = attributes(node)
    size = int(values["blocksize"])
    attrs: dict[str, Attr] = {"strides": (size, size), "order": str(values.get("mode", "DCR"))}
    editor.add(Node("depth_to_space", node.inputs, node.outputs, node.layers, attrs))
    return True


def concat(editor: Editor, node: Node) -> bool:
    """Concat of images along the channels."""
    tensors = [editor.graph.tensor(name) for name in node.inputs]
    axis = int(attributes(node)["axis"]) % len(tensors[0].shape)
    if axis != 1 or len(tensors[0].shape) != 4 or any(name in editor.constants for name in node.inputs):
        return False
    editor.add(Node("concat", node.inputs, node.outputs, node.layers))
    return True


def softmax(editor: Editor, node: Node) -> bool:
    """Softmax along one axis (all axes from it on, before opset 13)."""
    tensor = editor.graph.tensor(node.inputs[0])
    old = editor.graph.opset < 13
    axis = int(attributes(node).get("axis", 1 if old else -1)) % max(len(tensor.shape), 1)
    if tensor.dtype != "float32":
        return False
    end = len(tensor.shape) if old else axis + 1
    editor.add(Node("softmax", node.inputs, node.outputs, node.layers, {"axes": tuple(range(axis, end))}))
    return True


def reduction(editor: Editor, node: Node) -> bool:
    """Reductions over neighbouring axes; means and maxima over the maps of images become global pooling."""
    if node.kind == "ReduceMean" and _mean_of_integers(editor, node):
        return True
    chosen = reduced_axes(editor, node)
    if chosen is None:
        return False
    tensor, kind = editor.graph.tensor(node.inputs[0]), REDUCTIONS[node.kind]
    rank = len(tensor.shape)
    if rank == 4 and chosen == (2, 3) and kind in ("mean", "max"):
        attrs = whole_map_attrs(tensor, "average" if kind == "mean" else "max")
        if len(editor.graph.tensor(node.output).shape) == rank:
            editor.add(Node("pool2d", node.inputs[:1], node.outputs, node.layers, attrs))
            return True
        maps = type(tensor)((*tensor.shape[:2], 1, 1))
        pooled = editor.value(f"{node.output}_maps", maps, Origin(node.output, "maps"))
        editor.add(Node("pool2d", node.inputs[:1], (pooled,), node.layers, attrs))
        editor.add(Node("reshape", (pooled,), node.outputs, node.layers))
        return True
    editor.add(Node("reduce", node.inputs[:1], node.outputs, node.layers, {"kind": kind, "axes": chosen}))
    return True


def _mean_of_integers(editor: Editor, node: Node) -> bool:
    """ReduceMean of integers, for which TVM would change their type: a sum, divided and rounded towards zero."""
    tensor, made = (editor.graph.tensor(name) for name in (node.inputs[0], node.output))
    if np.dtype(tensor.dtype).kind not in "iu":
        return False
    values = attributes(node)
    axes = values.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        if node.inputs[1] not in editor.constants:
            return False
        axes = editor.constants[node.inputs[1]].reshape(-1).tolist()
    if not axes and values.get("noop_with_empty_axes", 0):
        return False
    rank = len(tensor.shape)
    chosen = sorted(int(axis) % rank for axis in axes) if axes else list(range(rank))
    total = editor.value(f"{node.output}_sum", made)
    keep = int(values.get("keepdims", 1))
    if editor.graph.opset >= 13:
        taken = (node.inputs[0], editor.constant(f"{total}_axes", np.array(chosen, np.int64)))
        add_onnx(editor, node, "ReduceSum", taken, total, keepdims=keep)
    else:
        add_onnx(editor, node, "ReduceSum", node.inputs[:1], total, keepdims=keep, axes=chosen)
    count = np.array(math.prod(tensor.shape[axis] for axis in chosen), tensor.dtype)
    add_onnx(editor, node, "Div", (total, editor.constant(f"{total}_count", count)), node.output)
    return True


def reduced_axes(editor: Editor, node: Node) -> tuple[int, ...] | None:
    """The axes of a reduction of float32, if they are constant and neighbours; else None."""
    tensor, values = editor.graph.tensor(node.inputs[0]), attributes(node)
    axes = values.get("axes")
    if len(node.inputs) > 1 and node.inputs[1]:
        if node.inputs[1] not in editor.constants:
            return None
        axes = editor.constants[node.inputs[1]].reshape(-1).tolist()
    rank = len(tensor.shape)
    chosen = sorted(int(axis) % rank for axis in axes) if axes else list(range(rank))
    if tensor.dtype != "float32" or rank == 0 or chosen != list(range(chosen[0], chosen[-1] + 1)):
        return None
    if not axes and values.get("noop_with_empty_axes", 0):
        return None
    return tuple(chosen)


def resize(editor: Editor, node: Node) -> bool:
    """Resize and Upsample of images along rows and columns."""
    tensor, output = editor.graph.tensor(node.inputs[0]), editor.graph.tensor(node.output)
    if tensor.dtype != FLOAT32 and not (tensor.dtype == QUANTIZED and _is_nearest(node)):
        return False
    if tensor.shape == output.shape and resizes(editor, node):
        # onnxruntime leaves such a map alone, whatever the scales.
        return reshape(editor, node)
    found = resize_tables(editor, node)
    if found is None:
        return False
    names, attrs = found
    editor.add(Node("resize2d", (node.inputs[0], *names), node.outputs, node.layers, attrs))
    return True


def resizes(editor: Editor, node: Node) -> bool:
    """Whether a Resize or Upsample of images stretches rows and columns, in a way that is known."""
    tensor, output = editor.graph.tensor(node.inputs[0]), editor.graph.tensor(node.output)
    return len(tensor.shape) == 4 and tensor.shape[:2] == output.shape[:2] and _stretches(editor, node)


def resize_tables(editor: Editor, node: Node) -> tuple[tuple[str, ...], dict[str, Attr]] | None:
    """The tables of taps of a ``resize2d``, and its attributes; None where there is none for a Resize."""
    tensor, output = editor.graph.tensor(node.inputs[0]), editor.graph.tensor(node.output)
    if not resizes(editor, node):
        return None
    scales = _scales(editor, node, tensor.shape, output.shape)
    kind = "Upsample" if _is_old(editor, node) else "Resize"
    names: list[str] = []
    taps = 0
    for axis in (2, 3):
        stretch = AxisResize(tensor.shape[axis], output.shape[axis], scales[axis])
        made = tables(attributes(node), kind, stretch)
        if made is None:
            return None
        taps = made[0].shape[1]
        names.append(editor.constant(f"{node.output}_index{axis}", made[0].astype(np.int32).reshape(-1)))
        names.append(editor.constant(f"{node.output}_weight{axis}", made[1].astype(np.float32).reshape(-1)))
    return tuple(names), {"taps": taps}


def _is_nearest(node: Node) -> bool:
    """Whether every pixel of a Resize is one of its operand's."""
    return str(attributes(node).get("mode", "nearest")) == "nearest"


def _is_old(editor: Editor, node: Node) -> bool:
    """Whether the node predates the choice of a coordinate transformation."""
    return node.kind == "Upsample" or editor.graph.opset < 11


def _stretches(editor: Editor, node: Node) -> bool:
    """Whether a Resize has constant parameters and neither crops nor smooths nor keeps proportions."""
    values = attributes(node)
    if any(name and name not in editor.constants for name in node.inputs[1:]):
        return False
    if values.get("antialias", 0) or values.get("axes"):
        return False
    crops = values.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    return not crops and str(values.get("keep_aspect_ratio_policy", "stretch")) == "stretch"


def _scales(editor: Editor, node: Node, before: tuple[int, ...], after: tuple[int, ...]) -> tuple[float, ...]:
    place = 1 if _is_old(editor, node) else 2
    if len(node.inputs) > place and node.inputs[place]:
        given = editor.constants[node.inputs[place]].reshape(-1)
        if given.size == len(before):
            return tuple(float(x) for x in given)
    return tuple(new / old for new, old in zip(after, before, strict=True))


def view_of_axes(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, int, int]:
    """`shape` as ``(outer, axes, inner)``."""
    inner = math.prod(shape[axes[-1] + 1 :])
    return math.prod(shape[: axes[0]]), math.prod(shape[axes[0] : axes[-1] + 1]), inner


def log_sum_exp(editor: Editor, node: Node) -> bool:
    """ReduceLogSumExp of float32 over neighbouring axes: the largest value is subtracted before and added again.

    It is limited to finite numbers: infinity minus itself would be NaN.
    """
    axes = reduced_axes(editor, node)
    if axes is None:
        return False
    name, tensor = node.inputs[0], editor.graph.tensor(node.inputs[0])
    kept = Tensor(tuple(1 if axis in axes else size for axis, size in enumerate(tensor.shape)))

    def reduce(kind: str, taken: str) -> str:
        made = editor.value(f"{node.output}_{kind}", kept)
        editor.add(Node("reduce", (taken,), (made,), node.layers, {"kind": kind, "axes": axes}))
        return made

    def compute(stem: str, expr: Expr, taken: tuple[str, ...], shape: Tensor) -> str:
        made = editor.value(f"{node.output}_{stem}", shape)
        editor.add(Node("pointwise", taken, (made,), node.layers, {}, expr))
        return made

    largest = reduce("max", name)
    finite = call("clip", Arg(1), Const(-_LAST), Const(_LAST))
    powers = compute("powers", call("exp", call("sub", Arg(0), finite)), (name, largest), tensor)
    total = reduce("sum", powers)
    result = compute("kept", call("add", call("log", Arg(0)), finite), (total, largest), kept)
    editor.add(Node("reshape", (result,), node.outputs, node.layers))
    return True


RULES: dict[str, Rule] = {
    **dict.fromkeys(REDUCTIONS, reduction),
    "ReduceLogSumExp": log_sum_exp,
    "Reshape": reshape,
    "Flatten": reshape,
    "Squeeze": reshape,
    "Unsqueeze": reshape,
    "Transpose": transpose,
    "Expand": expand,
    "Gather": gather,
    "Identity": nothing,
    "Dropout": nothing,
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Softmax": softmax,
    "Resize": resize,
    "Upsample": resize,
}
