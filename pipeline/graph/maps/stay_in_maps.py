"""Computes in feature maps what a model computes pixel by pixel with channels last. Returns a new graph.

Layer normalisation and dense layers want their channels last, so models with convolutions transpose before them and
back behind them: ConvNeXt twice in each block. Each pixel by itself, normalisation is ``channel_norm`` and a dense
layer a 1×1 convolution, so that the maps need not leave their blocks, and the transposes vanish.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Array, Editor, Graph, Node, rewrite
from tvmopt.schedules.workload import Attr, Tensor

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)
"""The orders of axes that put channels last, and first again."""
ROW_LAST = (0, 2, 1)
"""The order that puts channels last where the pixels are in one row."""

_PIXELS = ("row_norm", "dense", "pointwise")
_CONV: dict[str, Attr] = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "groups": 1}

Shape = tuple[int, int, int, int]
"""Of a map: images, channels, rows, columns."""


def stay_in_maps(graph: Graph) -> Graph:
    """Rewrites what lies between transposes to channels last and back, wherever nothing else reads it."""
    found = _closed(graph, _reachable(graph))
    if not found:
        return graph
    back, producers = _ways_back(graph, found), graph.producers()
    maps: dict[str, str] = {}
    before: dict[str, tuple[str, ...]] = {}

    def rule(editor: Editor, node: Node) -> bool:
        if _moves(node, FIRST) and node.inputs[0] in maps:
            source = maps[node.inputs[0]]
            if source != node.output and node.output in graph.outputs:
                editor.add(Node("reshape", (source,), node.outputs, node.layers))
            elif source != node.output:
                editor.rename(node.output, source)
            return True
        if len(node.outputs) != 1 or node.output not in found:
            return False
        if node.op in (ONNX, "reshape"):
            left = _left_map(graph, producers, node)
            if left is None:
                maps[node.output] = maps[node.inputs[0]]
                before[node.output] = (*before.get(node.inputs[0], ()), *node.layers)
            else:
                source, before[node.output] = left
                maps[node.output] = editor.renamed.get(source, source)
            return True
        ways = back.get(node.output, ())
        made = ways[0].output if ways else editor.value(f"{node.output}_map", Tensor(found[node.output]))
        names = [maps[name] if name in maps else _as_map(editor, node, i) for i, name in enumerate(node.inputs)]
        known = (layer for name in node.inputs for layer in before.get(name, ()))
        layers = tuple(dict.fromkeys((*known, *node.layers, *(layer for way in ways for layer in way.layers))))
        maps[node.output] = made
        editor.add(replace(_in_maps(node), inputs=tuple(names), outputs=(made,), layers=layers))
        return True

    return rewrite(graph, rule)


def _ways_back(graph: Graph, found: Mapping[str, Shape]) -> dict[str, list[Node]]:
    """The transposes to channels first, with the layers of reshapes before them, by the value that both move."""
    producers = graph.producers()
    ways: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if _moves(node, FIRST) and node.inputs[0] in found:
            name, layers = node.inputs[0], node.layers
            while producers[name].op == "reshape":
                layers = (*producers[name].layers, *layers)
                name = producers[name].inputs[0]
            ways.setdefault(name, []).append(replace(node, layers=layers))
    return ways


def _in_maps(node: Node) -> Node:
    """What computes the same in maps as `node` with channels last."""
    if node.op == "row_norm":
        return replace(node, op="channel_norm", attrs={name: node.attrs[name] for name in ("kind", "epsilon")})
    return replace(node, op="conv2d", attrs=_CONV) if node.op == "dense" else node


def _as_map(editor: Editor, node: Node, index: int) -> str:
    """A constant operand with its channels where maps have them."""
    name = node.inputs[index]
    array = editor.constants[name]
    if node.op == "dense" and index == 1:
        return editor.constant(f"{name}_map", np.ascontiguousarray(array.T)[:, :, None, None])
    if array.size == 1:
        return name
    return editor.constant(f"{name}_map", array.reshape(1, -1, 1, 1))


def _reachable(graph: Graph) -> dict[str, Shape]:
    """The values with channels last that could be computed in maps, each with its map's shape."""
    found: dict[str, Shape] = {}
    producers = graph.producers()
    for node in graph.nodes:
        if len(node.outputs) != 1:
            continue
        left = _left_map(graph, producers, node)
        if left is not None:
            n, channels, rows, columns = graph.tensor(left[0]).shape
            found[node.output] = (n, channels, rows, columns)
        elif node.op == "reshape" and node.inputs[0] in found:
            shape = found[node.inputs[0]]
            if graph.tensor(node.output).shape in _forms(shape):
                found[node.output] = shape
        elif node.op in _PIXELS and all(graph.tensor(x).dtype == "float32" for x in (*node.inputs, *node.outputs)):
            shapes = {found[name] for name in node.inputs if name in found}
            made = graph.tensor(node.output).shape
            if len(shapes) == 1 and all(x in found or _by_channel(graph, node, x) for x in node.inputs):
                n, _, rows, columns = shapes.pop()
                if made in _forms((n, made[-1], rows, columns)) and _each_pixel(graph, node):
                    found[node.output] = (n, made[-1], rows, columns)
    return found


def _left_map(graph: Graph, producers: Mapping[str, Node], node: Node) -> tuple[str, tuple[str, ...]] | None:
    """The map whose channels `node` puts last, and the layers that do; None if it does nothing of the kind.

    The pixels may have been put in one row before.
    """
    name, layers = node.inputs[0] if node.inputs else "", node.layers
    if _moves(node, ROW_LAST):
        view = producers.get(name)
        if view is None or view.op != "reshape":
            return None
        name, layers = view.inputs[0], (*view.layers, *layers)
        shape = graph.tensor(name).shape
        if len(shape) != 4 or graph.tensor(view.output).shape != (*shape[:2], shape[2] * shape[3]):
            return None
    elif not _moves(node, LAST):
        return None
    tensor = graph.tensor(name)
    fits = name not in graph.constants and tensor.dtype == "float32" and len(tensor.shape) == 4
    return (name, layers) if fits else None


def _forms(shape: Shape) -> tuple[tuple[int, ...], ...]:
    """The shapes that maps have with channels last: pixels in two dimensions, or in one."""
    n, channels, rows, columns = shape
    return (n, rows, columns, channels), (n, rows * columns, channels)


def _by_channel(graph: Graph, node: Node, name: str) -> bool:
    """Whether an operand is a constant with one number, or one for each channel, or a dense layer's weights."""
    array: Array | None = graph.constants.get(name)
    if array is None:
        return False
    if node.op == "dense" and name == node.inputs[1]:
        return array.ndim == 2
    return array.size == 1 or array.size == array.shape[-1] == graph.tensor(node.output).shape[-1]


def _each_pixel(graph: Graph, node: Node) -> bool:
    """Whether an operator computes each pixel from that pixel only."""
    if node.op == "row_norm":
        return node.attrs["axis"] == len(graph.tensor(node.inputs[0]).shape) - 1
    if node.op == "dense":
        return bool(node.attrs["packed"]) and node.inputs[1] in graph.constants
    return True


def _closed(graph: Graph, found: dict[str, Shape]) -> dict[str, Shape]:
    """Those of the values that nothing reads but operators on them and transposes back."""
    left = {name: shape for name, shape in found.items() if name not in graph.outputs}
    while True:
        gone = set[str]()
        for node in graph.nodes:
            reads = [name for name in node.inputs if name in found]
            if _moves(node, FIRST) and len(graph.tensor(node.inputs[0]).shape) == 4:
                continue
            stays = all(name in left for name in (*reads, *node.outputs))
            if not stays:
                gone.update(name for name in (*reads, *node.outputs) if name in left)
        if not gone:
            return left
        left = {name: shape for name, shape in left.items() if name not in gone}


def _moves(node: Node, axes: tuple[int, ...]) -> bool:
    """Whether a node is the transpose to this order of axes."""
    return node.op == ONNX and node.kind == "Transpose" and tuple(attributes(node).get("perm", ())) == axes
