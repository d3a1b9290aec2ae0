"""Turns operators that only move data into copies through strides, and padding into a kernel. Returns a new graph.

Transposes, slices and repetitions that follow each other, with reshapes between them, are one view of their source as
long as strides can express it; then one copy makes each value that something else reads. This comes late, when no other
pass looks for these operators any more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Array, Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.parameters import padding_of
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.pipeline.graph.strides import StridedView
from tvmopt.schedules.llvm.memory_bound.copied import MOVED
from tvmopt.schedules.llvm.memory_bound.pad import MODES, has_source
from tvmopt.schedules.llvm.selection.keys import KEYS
from tvmopt.schedules.workload import Attr

MOST_EXACT = 1 << 53
"""From here on, not all integers are floats, by which a workload names the number that a padding adds."""

Move = Callable[[Graph, Node, Array], list[Array] | None]
"""Views of an operand, one for each output of the operator; None where its parameters are computed."""


def find_copies(graph: Graph) -> Graph:
    """Replaces every operator of `MOVES` with copies, one for each of its outputs."""
    views: dict[str, StridedView] = {}
    moved = _only_moved(graph)

    def view_of(name: str, shape: tuple[int, ...]) -> StridedView:
        known = views.get(name)
        return known if known is not None and name in moved else StridedView.whole(name, shape)

    def rule(editor: Editor, node: Node) -> bool:
        if node.op == "reshape" and node.inputs[0] in views and node.inputs[0] in moved:
            reshaped = views[node.inputs[0]].reshaped(graph.tensor(node.output).shape)
            if reshaped is not None:
                views[node.output] = reshaped
            return False
        if node.op == ONNX and node.kind in OWN_KERNELS:
            return OWN_KERNELS[node.kind](editor, node)
        if not is_movement(graph, node):
            return False
        view = view_of(node.inputs[0], graph.tensor(node.inputs[0]).shape)
        parts = MOVES[node.kind](graph, node, view.elements)
        if parts is None:
            return False
        for name, elements in zip(node.outputs, parts, strict=True):
            part = StridedView(view.source, elements)
            editor.add(Node("copy", (view.source,), (name,), node.layers, part.attrs()))
            shaped = part.reshaped(graph.tensor(name).shape)
            if shaped is not None:
                views[name] = shaped
        return True

    return rewrite(graph, rule)


def _concat(editor: Editor, node: Node) -> bool:
    tensor = editor.graph.tensor(node.output)
    if tensor.dtype not in MOVED:
        return False
    axis = int(attributes(node)["axis"]) % len(tensor.shape)
    editor.add(Node("concat", node.inputs, node.outputs, node.layers, {"axis": axis}))
    return True


def _pad(editor: Editor, node: Node) -> bool:
    """A Pad with constant parameters; where it cuts off as well, only of a number."""
    tensor = editor.graph.tensor(node.inputs[0])
    padding = padding_of(editor.constants, node, len(tensor.shape))
    if padding is None or tensor.dtype not in MOVED or node.inputs[0] in editor.constants:
        return False
    axes = zip(tensor.shape, padding.before, padding.after, strict=True)
    exact = not np.isnan(padding.fill) if tensor.dtype.startswith("float") else abs(padding.fill) < MOST_EXACT
    if padding.mode not in MODES or not exact or not all(has_source(axis, padding.mode) for axis in axes):
        return False
    attrs: dict[str, Attr] = {
        "before": padding.before,
        "after": padding.after,
        "mode": padding.mode,
        "fill": padding.fill,
    }
    editor.add(Node("pad", node.inputs[:1], node.outputs, node.layers, attrs))
    return True


def _gather(editor: Editor, node: Node) -> bool:
    """Gather: places of one part, the same for everything before the axis."""
    axis = int(attributes(node).get("axis", 0)) % len(editor.graph.tensor(node.inputs[0]).shape)
    return _take(editor, node, axis, 1)


def _gather_nd(editor: Editor, node: Node) -> bool:
    """GatherND: places of as many parts as the last axis of the places has, for each part of the batch its own."""
    parts = editor.graph.tensor(node.inputs[1]).shape[-1]
    return _take(editor, node, int(attributes(node).get("batch_dims", 0)), parts)


def _take(editor: Editor, node: Node, axis: int, parts: int) -> bool:
    """Adds a choice of rows, unless nothing depends on data."""
    data, places = node.inputs
    tensor = editor.graph.tensor(data)
    if tensor.dtype not in KEYS or (data in editor.constants and places in editor.constants):
        return False
    sizes = tensor.shape[axis : axis + parts]
    array = editor.constants.get(places)
    if array is not None:
        limits = np.array(sizes if parts > 1 else sizes[0], array.dtype)
        places = editor.constant(f"{places}_places", np.where(array < 0, array + limits, array))
    editor.add(Node("take", (data, places), node.outputs, node.layers, {"axis": axis, "sizes": sizes}))
    return True


def is_movement(graph: Graph, node: Node) -> bool:
    """Whether a node only moves data of a type that is copied."""
    if node.op != ONNX or node.kind not in MOVES or node.inputs[0] in graph.constants:
        return False
    return graph.tensor(node.inputs[0]).dtype in MOVED


def _only_moved(graph: Graph) -> set[str]:
    """The values that nothing but moving operators and reshapes read: they need not exist themselves."""
    readers: dict[str, list[Node]] = defaultdict(list)
    for node in graph.nodes:
        for name in node.inputs:
            readers[name].append(node)
    return {
        name
        for name, nodes in readers.items()
        if name not in graph.outputs and all(node.op == "reshape" or is_movement(graph, node) for node in nodes)
    }


def _transpose(graph: Graph, node: Node, view: Array) -> list[Array]:
    return [view.transpose(attributes(node).get("perm"))]


def _slice(graph: Graph, node: Node, view: Array) -> list[Array] | None:
    values = attributes(node)
    names = dict(zip(("starts", "ends", "axes", "steps"), node.inputs[1:], strict=False))
    if any(name and name not in graph.constants for name in names.values()):
        return None
    given = {what: graph.constants[name].reshape(-1).tolist() for what, name in names.items() if name} | {
        what: values[what] for what in ("starts", "ends", "axes") if what in values
    }
    starts, ends = given["starts"], given["ends"]
    axes, steps = given.get("axes", range(len(starts))), given.get("steps", [1] * len(starts))
    places = [slice(None)] * view.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = view.shape[int(axis)]
        # Going backwards, a negative end means before the first element, unlike in Python.
        last = None if step < 0 and end < -size else end
        places[int(axis)] = slice(start, last, step)
    return [view[tuple(places)]]


def _split(graph: Graph, node: Node, view: Array) -> list[Array]:
    axis = int(attributes(node).get("axis", 0)) % view.ndim
    ends = np.cumsum([graph.tensor(name).shape[axis] for name in node.outputs])
    return list(np.split(view, ends[:-1].tolist(), axis=axis))


def _expand(graph: Graph, node: Node, view: Array) -> list[Array]:
    return [np.broadcast_to(view, graph.tensor(node.output).shape)]


def _tile(graph: Graph, node: Node, view: Array) -> list[Array] | None:
    if node.inputs[1] not in graph.constants:
        return None
    repeats = graph.constants[node.inputs[1]].reshape(-1).tolist()
    apart = view[tuple(place for _ in repeats for place in (None, slice(None)))]
    sizes = [size for pair in zip(repeats, view.shape, strict=True) for size in pair]
    return [np.broadcast_to(apart, sizes)]


def _space_to_depth(graph: Graph, node: Node, view: Array) -> list[Array] | None:
    side, (n, channels, rows, columns) = int(attributes(node)["blocksize"]), view.shape
    try:
        apart = np.reshape(view, (n, channels, rows // side, side, columns // side, side), copy=False)
    except ValueError:
        return None
    return [apart.transpose(0, 3, 5, 1, 2, 4)]


MOVES: Mapping[str, Move] = {
    "Transpose": _transpose,
    "Slice": _slice,
    "Split": _split,
    "Expand": _expand,
    "Tile": _tile,
    "SpaceToDepth": _space_to_depth,
}
"""The operators that become copies."""

OWN_KERNELS: dict[str, Rule] = {"Concat": _concat, "Pad": _pad, "Gather": _gather, "GatherND": _gather_nd}
"""The operators that move data in kernels of their own."""
