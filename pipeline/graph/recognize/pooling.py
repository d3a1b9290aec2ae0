"""Pooling over windows and whole maps, of lines, images and volumes."""

from __future__ import annotations

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Node, Origin
from tvmopt.pipeline.graph.recognize.identity import nothing
from tvmopt.pipeline.graph.recognize.images import Window, add_image, as_image, image_of, window_of
from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.workload import Attr, Tensor


def _map(editor: Editor, node: Node) -> Tensor | None:
    tensor = editor.graph.tensor(node.inputs[0])
    types = (FLOAT32, QUANTIZED) if node.kind in ("MaxPool", "GlobalMaxPool") else (FLOAT32,)
    return tensor if len(tensor.shape) in (3, 4, 5) and tensor.dtype in types else None


def windows(editor: Editor, node: Node) -> bool:
    """MaxPool and AveragePool, without dilation or indices; a window of one pixel is none."""
    if _map(editor, node) is None:
        return False
    attrs = window_attrs(editor, node)
    if attrs is None:
        return False
    if attrs["kernel"] == attrs["strides"] == (1, 1) and attrs["pads"] == (0, 0, 0, 0) and "depth" not in attrs:
        return nothing(editor, node)
    if node.inputs[0] in editor.constants:
        return False
    inputs = (as_image(editor, node, node.inputs[0]),)
    add_image(editor, Node("pool2d", inputs, node.outputs, node.layers, attrs))
    return True


def window_attrs(editor: Editor, node: Node) -> dict[str, Attr] | None:
    """Attributes of a ``pool2d`` that is the MaxPool or AveragePool `node`; None where no kernel takes its windows."""
    tensor, values = editor.graph.tensor(node.inputs[0]), attributes(node)
    if len(node.outputs) != 1 or values.get("storage_order", 0):
        return None
    kernel = tuple(int(x) for x in values["kernel_shape"])
    window = window_of(values, tensor.shape[2:], kernel)
    if window.dilations != (1, 1) or (window.depth and window.depth[2] != 1):
        return None
    if min(*window.pads, *window.depth) < 0 or not _touch(tensor, editor.graph.tensor(node.output), window):
        return None
    return {
        "kind": "max" if node.kind == "MaxPool" else "average",
        "kernel": window.kernel,
        **window.attrs(),
        "count_pads": int(values.get("count_include_pad", 0)),
    }


def _touch(tensor: Tensor, output: Tensor, window: Window) -> bool:
    """Whether every window contains a pixel of the map: one without would clamp to a pixel outside the window."""
    sizes, outputs = image_of(tensor).shape[2:], image_of(output).shape[2:]
    axes = list(zip(window.kernel, window.strides, window.pads[:2], sizes, outputs, strict=True))
    if window.depth:
        kernel, stride, _, planes, before, _ = window.depth
        axes.append((kernel, stride, before, planes, output.shape[2]))
    return all(pad < kernel and (made - 1) * stride - pad < size for kernel, stride, pad, size, made in axes)


def whole_map(editor: Editor, node: Node) -> bool:
    """GlobalAveragePool and GlobalMaxPool."""
    tensor = _map(editor, node)
    if tensor is None or node.inputs[0] in editor.constants:
        return False
    kind = "max" if node.kind == "GlobalMaxPool" else "average"
    image = as_image(editor, node, node.inputs[0])
    if len(tensor.shape) == 5:
        pool_volume(editor, node, image, kind)
    else:
        add_image(editor, Node("pool2d", (image,), node.outputs, node.layers, whole_map_attrs(image_of(tensor), kind)))
    return True


def pool_volume(editor: Editor, node: Node, image: str, kind: str) -> None:
    """Adds the average or maximum of whole volumes, given as planes: of each plane, then of these results."""
    tensor = editor.values[image]
    n = editor.values[node.output].shape[0]
    maps = editor.value(f"{node.output}_maps", Tensor((*tensor.shape[:2], 1, 1)))
    editor.add(Node("pool2d", (image,), (maps,), node.layers, whole_map_attrs(tensor, kind)))
    rows = editor.value(f"{node.output}_rows", Tensor((n, tensor.shape[0] // n, tensor.shape[1])))
    editor.add(Node("reshape", (maps,), (rows,), node.layers))
    made = editor.value(f"{node.output}_row", Tensor((n, 1, tensor.shape[1])), Origin(node.output, "maps"))
    attrs: dict[str, Attr] = {"kind": "max" if kind == "max" else "mean", "axes": (1,)}
    editor.add(Node("reduce", (rows,), (made,), node.layers, attrs))
    editor.add(Node("reshape", (made,), node.outputs, node.layers))


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
