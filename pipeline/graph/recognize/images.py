"""Lines and volumes as images: the templates for images compute operators of one and three dimensions, too.

A line lies along the columns of an image of one row, from which the templates cut their tiles; the image is a view of
the same memory. Each plane of a volume is an image of its own: ``(N, C, D, H, W)`` becomes ``(N·D, C, H, W)``.
`pipeline.graph.passes.delay_views` removes the views and transpositions between neighbouring operators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from tvmopt.pipeline.graph.attributes import window_pads
from tvmopt.pipeline.graph.ir import Array, Editor, Node, Origin
from tvmopt.pipeline.graph.recognize.insert_onnx import add_onnx
from tvmopt.schedules.workload import Attr, Tensor

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]

SWAP = (0, 2, 1, 3, 4)
"""The permutation between the channels of a volume and its planes, its own inverse."""


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``(N, C, L)`` → ``(N, C, 1, L)``, ``(N, C, D, H, W)`` → ``(N·D, C, H, W)``; rank 4 stays as it is.

    Dimensions that a line lacks in front are of size one.
    """
    if len(shape) == 4:
        return shape
    if len(shape) == 5:
        n, channels, planes, rows, columns = shape
        return (n * planes, channels, rows, columns)
    n, channels, columns = (1,) * (3 - len(shape)) + shape
    return (n, channels, 1, columns)


def image_of(tensor: Tensor) -> Tensor:
    """A line or volume, or what broadcasts to a line, as an image."""
    return replace(tensor, shape=image_shape(tensor.shape))


def form_of(tensor: Tensor) -> Literal["image", "planes"]:
    """How the image of a line or volume holds its numbers."""
    return "planes" if len(tensor.shape) == 5 else "image"


def as_image(editor: Editor, node: Node, name: str) -> str:
    """The value `name`, of rank 3 to 5, as an image: one that there is, or one made on behalf of `node`."""
    tensor = editor.values[name]
    if len(tensor.shape) == 4:
        return name
    if name not in editor.images:
        made = editor.value(f"{name}_image", image_of(tensor), Origin(name, form_of(tensor)))
        source = name if _is_view(tensor) else _swapped(editor, node, name)
        editor.add(Node("reshape", (source,), (made,), node.layers))
        editor.images[name] = made
    return editor.images[name]


def add_image(editor: Editor, node: Node) -> str:
    """Adds `node`, which computes an image; if its output is a line or volume, that is made of the image.

    Returns:
        The name of the image.
    """
    tensor = editor.values[node.output]
    if len(tensor.shape) == 4:
        editor.add(node)
        return node.output
    made = editor.value(f"{node.output}_image", image_of(tensor), Origin(node.output, form_of(tensor)))
    editor.add(replace(node, outputs=(made,)))
    view_back(editor, node, made)
    return made


def view_back(editor: Editor, node: Node, image: str) -> None:
    """Adds the line or volume that is the output of `node`, made of its image."""
    tensor = editor.values[node.output]
    editor.images[node.output] = image
    if _is_view(tensor):
        editor.add(Node("reshape", (image,), node.outputs, node.layers))
        return
    planes = editor.value(f"{node.output}_planes", replace(tensor, shape=_permuted(tensor.shape)))
    editor.add(Node("reshape", (image,), (planes,), node.layers))
    add_onnx(editor, node, "Transpose", (planes,), node.output, perm=SWAP)


def _is_view(tensor: Tensor) -> bool:
    """Whether the image has the same memory."""
    return len(tensor.shape) != 5 or 1 in tensor.shape[1:3]


def _permuted(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in SWAP)


def _swapped(editor: Editor, node: Node, name: str) -> str:
    tensor = editor.values[name]
    made = editor.value(f"{name}_planes", replace(tensor, shape=_permuted(tensor.shape)))
    add_onnx(editor, node, "Transpose", (name,), made, perm=SWAP)
    return made


def kernel_image(editor: Editor, name: str) -> str:
    """The weights `name` in rank 4: those of a line as one row, those of a volume with their planes as further rows."""
    array: Array = editor.constants[name]
    if array.ndim == 4:
        return name
    outputs, inputs, *size = array.shape
    shape = (outputs, inputs, 1, *size) if len(size) == 1 else (outputs, inputs, size[0] * size[1], size[2])
    return editor.constant(f"{name}_image", np.ascontiguousarray(array.reshape(shape)))


def operand_image(editor: Editor, node: Node, name: str, result: Tensor) -> str | None:
    """What an element-wise operator reads along with each element of a line or volume, as it fits the image.

    Args:
        editor: gets what has to be added.
        node: the operator.
        name: one of its operands.
        result: its result, a line or volume.

    Returns:
        A name; None if the operand would have to be repeated.
    """
    tensor = editor.graph.tensor(name) if name in editor.constants else editor.values[name]
    if tensor.elements == 1:
        return name
    if name in editor.constants:
        return editor.constant(f"{name}_image", _constant_image(editor.constants[name], result))
    if tensor.shape == result.shape or len(result.shape) == 3:
        return as_image(editor, node, name) if len(tensor.shape) == len(result.shape) else _line(editor, node, name)
    return None


def _line(editor: Editor, node: Node, name: str) -> str:
    """A value of lower rank, repeated along a line."""
    made = editor.value(f"{name}_image", image_of(editor.values[name]))
    editor.add(Node("reshape", (name,), (made,), node.layers))
    return made


def _constant_image(array: Array, result: Tensor) -> Array:
    if len(result.shape) == 3:
        return np.ascontiguousarray(array.reshape(image_shape(array.shape)))
    whole = array.reshape((1,) * (5 - array.ndim) + array.shape)
    if whole.shape[0] > 1 or whole.shape[2] > 1:
        n, _, planes, *_ = result.shape
        whole = np.broadcast_to(whole, (n, whole.shape[1], planes, *whole.shape[3:]))
    swapped = whole.transpose(SWAP)
    return np.ascontiguousarray(swapped.reshape(-1, *swapped.shape[2:]))


@dataclass(frozen=True, slots=True)
class Window:
    """How a window slides over an image, or over a volume's planes.

    Attributes:
        kernel: rows and columns of the window.
        strides: steps.
        dilations: spacing of the window's elements.
        pads: top, left, bottom, right.
        depth: along the planes, the window, its step, its spacing, the planes of the volume, and the padding in front
            and behind; empty where each plane is on its own.
    """

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: Pads
    depth: tuple[int, ...]

    def attrs(self) -> dict[str, Attr]:
        """The attributes that convolutions and pooling have in common."""
        attrs: dict[str, Attr] = {"strides": self.strides, "pads": self.pads}
        return {**attrs, "depth": self.depth} if self.depth else attrs


def window_of(values: dict[str, Any], size: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window of an ONNX operator over a line, an image or a volume.

    Args:
        values: the node's attributes.
        size: spatial sizes of the input.
        kernel: spatial sizes of the window.
    """
    strides = tuple(int(x) for x in values.get("strides", [1] * len(size)))
    dilations = tuple(int(x) for x in values.get("dilations", [1] * len(size)))
    pads = window_pads(values, size, kernel, strides, dilations)
    before, after = pads[: len(size)], pads[len(size) :]
    top, left = _pair(before, 0)
    depth: tuple[int, ...] = ()
    if len(size) == 3:
        depth = (kernel[0], strides[0], dilations[0], size[0], before[0], after[0])
        alone = depth[:2] == (1, 1) and before[0] == after[0] == 0
        depth = () if alone else depth
    return Window(_pair(kernel, 1), _pair(strides, 1), _pair(dilations, 1), (top, left, *_pair(after, 0)), depth)


def _pair(sizes: tuple[int, ...], missing: int) -> Pair:
    rows, columns = ((missing,) * (2 - len(sizes)) + tuple(sizes))[-2:]
    return rows, columns
