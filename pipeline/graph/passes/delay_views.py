"""Delays the views of images as lines or volumes: what reads them reads the images instead. Returns a new graph.

`recognize` makes an image of one row from each line (N, C, L), and an image of each plane of a volume (N, C, D, H, W),
that a convolution or pooling reads, and makes a line or volume from its result. Element-wise operators, concatenations,
reductions, paddings and slices between two of them need neither: they compute images, and the views and transpositions
meet and vanish. Then epilogues fuse and layouts are planned as for images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Graph, Node, Origin, rewrite
from tvmopt.pipeline.graph.parameters import padding_of, slice_of
from tvmopt.pipeline.graph.recognize.images import (
    add_image,
    as_image,
    image_of,
    image_shape,
    operand_image,
    view_back,
)
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx, add_slice
from tvmopt.pipeline.graph.recognize.pooling import pool_volume, whole_map_attrs
from tvmopt.schedules.workload import Tensor


def delay_views(graph: Graph) -> Graph:
    """Moves what makes a line or volume of images behind the operators that can read the images."""

    def rule(editor: Editor, node: Node) -> bool:
        if node.op == "reshape":
            return _meets(editor, node)
        _note(editor, node)
        delay = _DELAYS.get(node.kind)
        if delay is None or len(node.outputs) != 1:
            return False
        return delay(editor, node)

    return rewrite(graph, rule)


def _meets(editor: Editor, node: Node) -> bool:
    """Drops a view that makes an image of a line or volume whose image is known; notes views as lines."""
    origin = editor.origins.get(node.output)
    if origin is not None and origin.form in ("image", "planes") and origin.value in editor.images:
        image = editor.images[origin.value]
        if editor.values[image].shape == editor.values[node.output].shape:
            editor.rename(node.output, image)
            return True
    source, view = editor.values[node.inputs[0]].shape, editor.values[node.output].shape
    if len(source) == 4 and len(view) == 3 and source == image_shape(view):
        editor.images[node.output] = node.inputs[0]
    _note(editor, node)
    return False


def _note(editor: Editor, node: Node) -> None:
    """Remembers the outputs of a node that stays and that are images of a line or volume."""
    for name in node.outputs:
        origin = editor.origins.get(name)
        if origin is not None and origin.form in ("image", "planes"):
            editor.images.setdefault(origin.value, name)


Delay = Callable[[Editor, Node], bool]
"""Computes an image in place of a line or volume, and makes that of the image; or returns False and adds nothing."""


def _pointwise(editor: Editor, node: Node) -> bool:
    result = editor.values[node.output]
    if len(result.shape) not in (3, 5):
        return False
    if not any(name in editor.images and editor.values[name].shape == result.shape for name in node.inputs):
        return False
    # Nothing may be added unless all operands fit.
    if len(result.shape) == 5 and any(not _fits_volume(editor, name, result) for name in node.inputs):
        return False
    operands = [operand_image(editor, node, name, result) for name in node.inputs]
    add_image(editor, replace(node, inputs=tuple(name for name in operands if name is not None)))
    return True


def _fits_volume(editor: Editor, name: str, result: Tensor) -> bool:
    """Whether an operand need not be repeated to be read plane by plane."""
    return name in editor.constants or editor.values[name].elements == 1 or editor.values[name].shape == result.shape


def _concat(editor: Editor, node: Node) -> bool:
    rank = len(editor.values[node.output].shape)
    if rank not in (3, 5) or any(name in editor.constants for name in node.inputs):
        return False
    # `recognize` may have taken it already.
    axis = 1 if node.op == "concat" else int(attributes(node)["axis"]) % rank
    if axis != 1 or not any(name in editor.images for name in node.inputs):
        return False
    inputs = tuple(as_image(editor, node, name) for name in node.inputs)
    add_image(editor, Node("concat", inputs, node.outputs, node.layers))
    return True


def _reduce(editor: Editor, node: Node) -> bool:
    """A mean or maximum over whole lines or volumes is global pooling."""
    kind, image = node.attrs["kind"], editor.images.get(node.inputs[0])
    if image is None or kind not in ("mean", "max"):
        return False
    tensor = editor.values[image]
    if len(editor.values[node.inputs[0]].shape) == 5 and node.attrs["axes"] == (2, 3, 4):
        pool_volume(editor, node, image, "average" if kind == "mean" else "max")
        return True
    if len(editor.values[node.inputs[0]].shape) != 3 or node.attrs["axes"] != (2,):
        return False
    maps = editor.value(
        f"{node.output}_maps", replace(tensor, shape=(*tensor.shape[:2], 1, 1)), Origin(node.output, "maps")
    )
    attrs = whole_map_attrs(tensor, "average" if kind == "mean" else "max")
    editor.add(Node("pool2d", (image,), (maps,), node.layers, attrs))
    editor.add(Node("reshape", (maps,), node.outputs, node.layers))
    return True


def _pad(editor: Editor, node: Node) -> bool:
    """Any padding of a line; one with zeros is later folded into the convolution that reads it."""
    result = editor.values[node.output]
    if len(result.shape) != 3 or node.inputs[0] in editor.constants or result.dtype != "float32":
        return False
    padding = padding_of(editor.constants, node, 3)
    if padding is None or min(*padding.before, *padding.after) < 0:
        return False
    image = as_image(editor, node, node.inputs[0])
    amounts = np.array([*image_pads(padding.before), *image_pads(padding.after)], np.int64)
    made = editor.value(f"{node.output}_image", image_of(result), Origin(node.output, "image"))
    if editor.graph.opset < 11:
        old = {"pads": amounts.tolist(), "value": padding.fill}
        add_onnx(editor, node, "Pad", (image,), made, mode=padding.mode, **old)
    else:
        fill = editor.constant(f"{made}_fill", np.array(padding.fill, np.float32))
        add_onnx(editor, node, "Pad", (image, editor.constant(f"{made}_pads", amounts), fill), made, mode=padding.mode)
    view_back(editor, node, made)
    return True


def image_pads(pads: tuple[int, ...]) -> tuple[int, ...]:
    """Amounts for the axes of a line, as amounts for the axes of an image."""
    n, channels, columns = pads
    return (n, channels, 0, columns)


def _slice(editor: Editor, node: Node) -> bool:
    image = editor.images.get(node.inputs[0])
    if image is None or editor.graph.opset < 10 or len(editor.values[node.inputs[0]].shape) != 3:
        return False
    ranges = slice_of(editor.constants, node, editor.values[node.inputs[0]].shape)
    if ranges is None or any(first >= last for first, last in ranges.values()):
        return False
    sliced = add_slice(editor, node, image, {axis + (axis == 2): ends for axis, ends in ranges.items()})
    if sliced != image:
        editor.origins[sliced] = Origin(node.output, "image")
    view_back(editor, node, sliced)
    return True


_DELAYS: dict[str, Delay] = {
    "pointwise": _pointwise,
    "Concat": _concat,
    "concat": _concat,
    "reduce": _reduce,
    "Pad": _pad,
    "Slice": _slice,
}
