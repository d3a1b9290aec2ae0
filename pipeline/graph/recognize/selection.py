"""Selecting the best elements along an axis, their places, choosing elements by their places, and writing there."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Array, Editor, Node
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx, add_slice
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.pipeline.importers.onnx_form.building.counted.functions import FIRST_PLACES, ORDERED_BOXES
from tvmopt.pipeline.importers.onnx_form.building.suppression import SELECTED_BOXES
from tvmopt.schedules.expression import Arg, Expr, call
from tvmopt.schedules.llvm.selection.keys import KEYS
from tvmopt.schedules.workload import Attr, Tensor


def place_of_extreme(editor: Editor, node: Node) -> bool:
    """ArgMax and ArgMin as the best of a row, the first if there are several: NaN, as in numpy, is the extreme.

    A minimum of floats is the maximum of the negative values: of the smallest, NaN would be the last.
    """
    name, tensor, values = node.inputs[0], editor.graph.tensor(node.inputs[0]), attributes(node)
    floats = tensor.dtype.startswith("float")
    negated = floats and node.kind == "ArgMin"
    if tensor.dtype not in KEYS or name in editor.constants or (negated and tensor.dtype != "float32"):
        return False
    if values.get("select_last_index", 0):
        return _last_place(editor, node)
    if negated:
        data = editor.value(f"{node.output}_negative", tensor)
        editor.add(Node("pointwise", (name,), (data,), node.layers, {}, call("neg", Arg(0))))
        name = data
    axis = int(values.get("axis", 0)) % len(tensor.shape)
    attrs: dict[str, Attr] = {"axis": axis, "largest": int(floats or node.kind == "ArgMax")}
    if values.get("keepdims", 1):
        editor.add(Node("top_k", (name,), node.outputs, node.layers, attrs))
        return True
    kept = (*tensor.shape[:axis], 1, *tensor.shape[axis + 1 :])
    places = editor.value(f"{node.output}_kept", Tensor(kept, "int64"))
    editor.add(Node("top_k", (name,), (places,), node.layers, attrs))
    editor.add(Node("reshape", (places,), node.outputs, node.layers))
    return True


def _last_place(editor: Editor, node: Node) -> bool:
    """The last of several extremes of float32, which TVM looks for.

    It begins with the least float32 at the place -1, and finds no NaN. So it gets ranks: NaN is the largest of them,
    and none is the least.
    """
    import onnx

    tensor = editor.graph.tensor(node.inputs[0])
    if tensor.dtype != "float32":
        return False
    ranks = editor.value(f"{node.output}_ranks", tensor)
    expr: Expr = call("rank", Arg(0) if node.kind == "ArgMax" else call("neg", Arg(0)))
    editor.add(Node("pointwise", node.inputs, (ranks,), node.layers, {}, expr))
    proto = onnx.NodeProto()
    assert node.proto is not None
    proto.CopyFrom(node.proto)
    proto.op_type = "ArgMax"
    editor.add(replace(node, op=ONNX, inputs=(ranks,), proto=proto))
    return True


def top_k(editor: Editor, node: Node) -> bool:
    """TopK: the places of the best, and the elements there; the importer makes all of them sorted."""
    data, tensor = node.inputs[0], editor.graph.tensor(node.inputs[0])
    if data in editor.constants or tensor.dtype not in KEYS or any(n not in editor.constants for n in node.inputs[1:]):
        return False
    assert node.proto is not None
    made = iter(node.outputs)
    best, places = (next(made) if name else "" for name in (*node.proto.output, "")[:2])
    values = attributes(node)
    axis = int(values.get("axis", -1)) % len(tensor.shape)
    shape = editor.values[best or places].shape
    places = places or editor.value(f"{best}_places", Tensor(shape, "int64"))
    attrs: dict[str, Attr] = {"axis": axis, "largest": int(values.get("largest", 1))}
    editor.add(Node("top_k", (data,), (places,), node.layers, attrs))
    if best:
        editor.add(Node("pick", (data, places), (best,), node.layers, {"axis": axis}))
    return True


def gather_elements(editor: Editor, node: Node) -> bool:
    """GatherElements of all rows of a computed value."""
    data, places = node.inputs
    shape, chosen = (editor.graph.tensor(name).shape for name in node.inputs)
    axis = int(attributes(node).get("axis", 0)) % len(shape)
    rest = [tuple(size for i, size in enumerate(sizes) if i != axis) for sizes in (shape, chosen)]
    if rest[0] != rest[1] or data in editor.constants or places in editor.constants:
        return False
    editor.add(Node("pick", node.inputs, node.outputs, node.layers, {"axis": axis}))
    return True


def selected_boxes(editor: Editor, node: Node) -> bool:
    """Non-maximum suppression whose result has a static size; the importer makes its limits constants.

    It marks the boxes that stay, or lists them in a room that is given.
    """
    most, overlap, limit = ((*node.inputs, "")[place] for place in (2, 3, 4))
    limits = {name: editor.constants[name].reshape(-1)[0].item() for name in (most, overlap, limit) if name}
    attrs: dict[str, Attr] = {
        # As many as there are boxes, or fewer.
        "most": min(max(int(limits[most]), 0), editor.graph.tensor(node.inputs[1]).shape[2]),
        "overlap": float(limits[overlap]),
        "limited": int(bool(limit)),
        "limit": float(limits[limit]) if limit else 0.0,
        "center": int(attributes(node).get("center_point_box", 0)),
    }
    editor.add(Node("suppress", node.inputs[:2], node.outputs, node.layers, attrs))
    return True


def first_places(editor: Editor, node: Node) -> bool:
    """The places of the true elements of a mask."""
    if node.inputs[0] in editor.constants:
        return False
    editor.add(Node("find", node.inputs, node.outputs, node.layers))
    return True


def scatter(editor: Editor, node: Node) -> bool:
    """ScatterND and ScatterElements to constant places: a concatenation of parts, or a choice of rows of both.

    Both are copies. A row is as long as elements that lie behind each other in the result also do where they are from.
    """
    (data, places, updates), values = node.inputs, attributes(node)
    tensor = editor.graph.tensor(data)
    simple = tensor.dtype in KEYS and values.get("reduction", "none") in ("none", b"none")
    if not simple or places not in editor.constants or updates in editor.constants:
        return False
    if not tensor.elements or not editor.graph.tensor(updates).elements:
        return False
    origins = _origins(node.kind, tensor.shape, editor.constants[places], int(values.get("axis", 0)))
    if origins is None:
        return False
    width = _row(tensor.shape, origins, editor.graph.tensor(updates).elements)
    rows = origins.reshape(-1, width)[:, 0] // width
    count, length = tensor.elements // width, editor.graph.tensor(updates).elements // width
    if data in editor.constants:
        source = editor.constant(f"{data}_rows", editor.constants[data].reshape(count, width))
    else:
        source = _rows_of(editor, node, data, (count, width))
    written = _rows_of(editor, node, updates, (length, width))
    apart = (np.diff(rows) != 1) | np.diff(rows < count)
    breaks = [0, *(np.flatnonzero(apart) + 1).tolist(), len(rows)]
    made = editor.value(f"{node.output}_rows", Tensor((len(rows), width), tensor.dtype))
    if len(breaks) - 1 <= _MOST_PARTS:
        parts = [
            _part(editor, node, (source, written), (int(rows[first]), last - first)) for first, last in pairwise(breaks)
        ]
        add_onnx(editor, node, "Concat", tuple(parts), made, axis=0)
    else:
        both = editor.value(f"{node.output}_both", Tensor((count + length, width), tensor.dtype))
        add_onnx(editor, node, "Concat", (source, written), both, axis=0)
        add_onnx(editor, node, "Gather", (both, editor.constant(f"{node.output}_from", rows)), made, axis=0)
    editor.add(Node("reshape", (made,), node.outputs, node.layers))
    return True


_MOST_PARTS = 16
"""So many parts are concatenated; with more, rows are chosen by their places."""


def _origins(kind: str, shape: tuple[int, ...], places: Array, axis: int) -> Array | None:
    """Where each element of the result is from, counted through the data and then through the updates."""
    origins = np.arange(math.prod(shape)).reshape(shape)
    try:
        if kind == "ScatterND":
            there = origins[tuple(np.moveaxis(places, -1, 0))]
            numbers = origins.size + np.arange(there.size).reshape(there.shape)
            origins[tuple(np.moveaxis(places, -1, 0))] = numbers
        else:
            places = np.where(places < 0, places + shape[axis], places)
            grid = list(np.ogrid[tuple(slice(size) for size in places.shape)])
            grid[axis] = places
            origins[tuple(grid)] = origins.size + np.arange(places.size).reshape(places.shape)
    except IndexError:
        return None
    return origins


def _row(shape: tuple[int, ...], origins: Array, written: int) -> int:
    """The largest number of elements that stay together, as rows of the data or of the updates."""
    flat = origins.reshape(-1)
    for axis in range(len(shape) + 1):
        width = math.prod(shape[axis:])
        rows = flat.reshape(-1, width)
        if not written % width and not (rows[:, 0] % width).any() and (rows == rows[:, :1] + np.arange(width)).all():
            return width
    return 1


def _rows_of(editor: Editor, node: Node, name: str, shape: tuple[int, int]) -> str:
    """A value as rows."""
    made = editor.value(f"{name}_rows", Tensor(shape, editor.graph.tensor(name).dtype))
    editor.add(Node("reshape", (name,), (made,), node.layers))
    return made


def _part(editor: Editor, node: Node, sources: tuple[str, str], rows: tuple[int, int]) -> str:
    """Rows, from the first of so many on, of two values that are counted through."""
    data, updates = sources
    shape = (editor.constants[data] if data in editor.constants else editor.values[data]).shape
    first, name = (rows[0], data) if rows[0] < shape[0] else (rows[0] - shape[0], updates)
    if name in editor.constants:
        return editor.constant(f"{name}_part", editor.constants[name][first : first + rows[1]])
    return add_slice(editor, node, name, {0: (first, first + rows[1])})


RULES: dict[str, Rule] = {
    FIRST_PLACES: first_places,
    ORDERED_BOXES: selected_boxes,
    "ScatterND": scatter,
    "ScatterElements": scatter,
    "Scatter": scatter,
    "TopK": top_k,
    "GatherElements": gather_elements,
    SELECTED_BOXES: selected_boxes,
    "ArgMax": place_of_extreme,
    "ArgMin": place_of_extreme,
}
