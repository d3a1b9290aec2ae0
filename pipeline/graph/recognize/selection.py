"""Selecting the best elements along an axis, their places, and choosing elements by their places."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Editor, Node
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


RULES: dict[str, Rule] = {
    FIRST_PLACES: first_places,
    ORDERED_BOXES: selected_boxes,
    "TopK": top_k,
    "GatherElements": gather_elements,
    SELECTED_BOXES: selected_boxes,
    "ArgMax": place_of_extreme,
    "ArgMin": place_of_extreme,
}
