"""Delays the views of images as lines: what reads such a view reads the image instead. Returns a new graph.

`recognize` makes an image of one row from each line (N, C, L) that a convolution or pooling reads, and a line from its
result. Element-wise operators, concatenations, reductions, paddings and slices between two of them need no lines
either: they compute images, and the views meet and vanish. Then epilogues fuse and layouts are planned as for images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Graph, Node, Origin, rewrite
from tvmopt.pipeline.graph.parameters import padding_of, slice_of
from tvmopt.pipeline.graph.recognize.images import add_image, as_image, constant_image, image_of, image_shape
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx, add_slice
from tvmopt.pipeline.graph.recognize.pooling import whole_map_attrs


def delay_views(graph: Graph) -> Graph:
    """Moves each view of an image as a line behind the operators that can read the image."""
    images: dict[str, str] = {}

    def rule(editor: Editor, node: Node) -> bool:
        if node.op == "reshape":
            _note(editor, images, node.inputs[0], node.output)
            return False
        delay = _DELAYS.get(node.kind)
        if delay is None or len(node.outputs) != 1 or len(editor.values[node.output].shape) not in (1, 2, 3):
            return False
        if not delay(editor, node, images):
            return False
        last = editor.nodes[-1]
        _note(editor, images, last.inputs[0], last.output)
        return True

    return rewrite(graph, rule)


def _note(editor: Editor, images: dict[str, str], image: str, line: str) -> None:
    """Remembers that `line` is a view of `image`, if it is."""
    source, view = editor.values[image].shape, editor.values[line].shape
    if len(source) == 4 and len(view) == 3 and source == image_shape(view):
        images[line] = image


Delay = Callable[[Editor, Node, dict[str, str]], bool]
"""Computes an image in place of a line, and adds a view of it as the line; or returns False and adds nothing."""


def _pointwise(editor: Editor, node: Node, images: dict[str, str]) -> bool:
    result = editor.values[node.output]
    if len(result.shape) != 3:
        return False
    if not any(name in images and editor.values[name].shape == result.shape for name in node.inputs):
        return False
    add_image(editor, replace(node, inputs=tuple(_operand(editor, node, name, images) for name in node.inputs)))
    return True


def _operand(editor: Editor, node: Node, name: str, images: dict[str, str]) -> str:
    if name in images:
        return images[name]
    if name in editor.constants:
        return name if editor.constants[name].size == 1 else constant_image(editor, name)
    return name if editor.values[name].elements == 1 else as_image(editor, node, name)


def _concat(editor: Editor, node: Node, images: dict[str, str]) -> bool:
    rank = len(editor.values[node.output].shape)
    if rank != 3 or int(attributes(node)["axis"]) % rank != 1 or any(name in editor.constants for name in node.inputs):
        return False
    if not any(name in images for name in node.inputs):
        return False
    inputs = tuple(_operand(editor, node, name, images) for name in node.inputs)
    add_image(editor, Node("concat", inputs, node.outputs, node.layers))
    return True


def _reduce(editor: Editor, node: Node, images: dict[str, str]) -> bool:
    """A mean or maximum over whole lines is global pooling."""
    kind, image = node.attrs["kind"], images.get(node.inputs[0])
    if image is None or node.attrs["axes"] != (2,) or kind not in ("mean", "max"):
        return False
    tensor = editor.values[image]
    maps = editor.value(
        f"{node.output}_maps", replace(tensor, shape=(*tensor.shape[:2], 1, 1)), Origin(node.output, "maps")
    )
    attrs = whole_map_attrs(tensor, "average" if kind == "mean" else "max")
    editor.add(Node("pool2d", (image,), (maps,), node.layers, attrs))
    editor.add(Node("reshape", (maps,), node.outputs, node.layers))
    return True


def _pad(editor: Editor, node: Node, images: dict[str, str]) -> bool:
    """Any padding of a line; one with zeros is later folded into the convolution that reads it."""
    result = editor.values[node.output]
    if len(result.shape) != 3 or node.inputs[0] in editor.constants or result.dtype != "float32":
        return False
    padding = padding_of(editor.constants, node, 3)
    if padding is None or min(*padding.before, *padding.after) < 0:
        return False
    image = _operand(editor, node, node.inputs[0], images)
    amounts = np.array([*image_pads(padding.before), *image_pads(padding.after)], np.int64)
    made = editor.value(f"{node.output}_image", image_of(result), Origin(node.output, "image"))
    if editor.graph.opset < 11:
        old = {"pads": amounts.tolist(), "value": padding.fill}
        add_onnx(editor, node, "Pad", (image,), made, mode=padding.mode, **old)
    else:
        fill = editor.constant(f"{made}_fill", np.array(padding.fill, np.float32))
        add_onnx(editor, node, "Pad", (image, editor.constant(f"{made}_pads", amounts), fill), made, mode=padding.mode)
    editor.add(Node("reshape", (made,), node.outputs, node.layers))
    return True


def image_pads(pads: tuple[int, ...]) -> tuple[int, ...]:
    """Amounts for the axes of a line, as amounts for the axes of an image."""
    n, channels, columns = pads
    return (n, channels, 0, columns)


def _slice(editor: Editor, node: Node, images: dict[str, str]) -> bool:
    image = images.get(node.inputs[0])
    if image is None or editor.graph.opset < 10:
        return False
    ranges = slice_of(editor.constants, node, editor.values[node.inputs[0]].shape)
    if ranges is None or any(first >= last for first, last in ranges.values()):
        return False
    sliced = add_slice(editor, node, image, {axis + (axis == 2): ends for axis, ends in ranges.items()})
    if sliced != image:
        editor.origins[sliced] = Origin(node.output, "image")
    editor.add(Node("reshape", (sliced,), node.outputs, node.layers))
    return True


_DELAYS: dict[str, Delay] = {
    "pointwise": _pointwise,
    "Concat": _concat,
    "reduce": _reduce,
    "Pad": _pad,
    "Slice": _slice,
}
