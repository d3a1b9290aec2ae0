"""Selecting the best elements along an axis, and choosing elements by their places."""

from __future__ import annotations

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.pipeline.graph.recognize.types import Rule
from tvmopt.schedules.llvm.selection.keys import KEYS
from tvmopt.schedules.workload import Attr, Tensor


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


RULES: dict[str, Rule] = {"TopK": top_k, "GatherElements": gather_elements}
