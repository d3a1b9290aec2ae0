"""Pooling over windows and whole maps, of images and lines."""

from __future__ import annotations

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node
from tvmopt.pipeline.graph.recognize.identity import nothing
from tvmopt.pipeline.graph.recognize.images import Window, add_image, as_image, image_of, window_of
from tvmopt.schedules.workload import Attr, Tensor


def _map(editor: Editor, node: Node) -> Tensor | None:
    tensor = editor.graph.tensor(node.inputs[0])
    return tensor if len(tensor.shape) in (3, 4) and tensor.dtype == "float32" else None


def windows(editor: Editor, node: Node) -> bool:
    """MaxPool and AveragePool in one or two dimensions, without dilation or indices; a window of one pixel is none."""
    tensor, values = _map(editor, node), attributes(node)
    if tensor is None or len(node.outputs) != 1 or values.get("storage_order", 0):
        return False
    kernel = tuple(int(x) for x in values["kernel_shape"])
    window = window_of(values, tensor.shape[2:], kernel)
    if window.dilations != (1, 1):
        return False
    if window.kernel == window.strides == (1, 1) and not any(window.pads):
        return nothing(editor, node)
    if min(window.pads) < 0 or not _touch(image_of(tensor), image_of(editor.graph.tensor(node.output)), window):
        return False
    if node.inputs[0] in editor.constants:
        return False
    attrs: dict[str, Attr] = {
        "kind": "max" if node.kind == "MaxPool" else "average",
        "kernel": window.kernel,
        **window.attrs(),
        "count_pads": int(values.get("count_include_pad", 0)),
    }
    inputs = (as_image(editor, node, node.inputs[0]),)
    add_image(editor, Node("pool2d", inputs, node.outputs, node.layers, attrs))
    return True


def _touch(tensor: Tensor, output: Tensor, window: Window) -> bool:
    """Whether every window contains a pixel of the map: one without would clamp to a pixel outside the window."""
    first = all(pad < size for pad, size in zip(window.pads[:2], window.kernel, strict=True))
    starts = ((output.shape[2 + i] - 1) * window.strides[i] - window.pads[i] for i in range(2))
    return first and all(start < size for start, size in zip(starts, tensor.shape[2:], strict=True))


def whole_map(editor: Editor, node: Node) -> bool:
    """GlobalAveragePool and GlobalMaxPool."""
    tensor = _map(editor, node)
    if tensor is None or node.inputs[0] in editor.constants:
        return False
    kind = "max" if node.kind == "GlobalMaxPool" else "average"
    inputs = (as_image(editor, node, node.inputs[0]),)
    add_image(editor, Node("pool2d", inputs, node.outputs, node.layers, whole_map_attrs(image_of(tensor), kind)))
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
