"""Pooling over windows and whole maps."""

from __future__ import annotations

from tvmopt.pipeline.graph.attributes import attributes, window_pads
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.pipeline.graph.recognize.identity import nothing
from tvmopt.schedules.workload import Attr, Tensor


def _image(editor: Editor, node: Node) -> Tensor | None:
    tensor = editor.graph.tensor(node.inputs[0])
    return tensor if len(tensor.shape) == 4 and tensor.dtype == "float32" else None


def windows(editor: Editor, node: Node) -> bool:
    """MaxPool and AveragePool in two dimensions, without dilation or indices. Windows of one pixel do nothing."""
    tensor, values = _image(editor, node), attributes(node)
    dilations = tuple(int(x) for x in values.get("dilations", (1, 1)))
    if tensor is None or len(node.outputs) != 1 or dilations != (1, 1) or values.get("storage_order", 0):
        return False
    kernel = tuple(int(x) for x in values["kernel_shape"])
    strides = tuple(int(x) for x in values.get("strides", (1, 1)))
    pads = window_pads(values, tensor.shape[2:], kernel, strides, dilations)
    if kernel == strides == (1, 1) and not any(pads):
        return nothing(editor, node)
    if min(pads) < 0 or not _touch(tensor, editor.graph.tensor(node.output), kernel, strides, pads):
        return False
    attrs: dict[str, Attr] = {
        "kind": "max" if node.kind == "MaxPool" else "average",
        "kernel": kernel,
        "strides": strides,
        "pads": pads,
        "count_pads": int(values.get("count_include_pad", 0)),
    }
    editor.add(Node("pool2d", node.inputs, node.outputs, node.layers, attrs))
    return True


def _touch(
    tensor: Tensor, output: Tensor, kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...]
) -> bool:
    """Whether every window contains a pixel of the map: one without would clamp to a pixel outside the window."""
    first = all(pad < size for pad, size in zip(pads[:2], kernel, strict=True))
    starts = ((output.shape[2 + i] - 1) * strides[i] - pads[i] for i in range(2))
    return first and all(start < size for start, size in zip(starts, tensor.shape[2:], strict=True))


def whole_map(editor: Editor, node: Node) -> bool:
    """GlobalAveragePool and GlobalMaxPool."""
    tensor = _image(editor, node)
    if tensor is None:
        return False
    kind = "max" if node.kind == "GlobalMaxPool" else "average"
    editor.add(Node("pool2d", node.inputs, node.outputs, node.layers, whole_map_attrs(tensor, kind)))
    return True


def whole_map_attrs(tensor: Tensor, kind: str) -> dict[str, Attr]:
    """Attributes of a ``pool2d`` over the whole map of `tensor`."""
    return {
        "kind": kind,
        "kernel": (tensor.shape[2], tensor.shape[3]),
        "strides": (1, 1),
        "pads": (0, 0, 0, 0),
        "count_pads": 0,
    }


RULES = {"MaxPool": windows, "AveragePool": windows, "GlobalAveragePool": whole_map, "GlobalMaxPool": whole_map}
