"""Lines as images of one row: the templates for images compute operators of one dimension, too.

The line lies along the columns, from which the templates cut their tiles. A view of the same memory is an image, and
so is free; `pipeline.graph.passes.delay_views` removes the views between neighbouring operators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tvmopt.pipeline.graph.attributes import window_pads
from tvmopt.pipeline.graph.ir import Array, Editor, Node, Origin
from tvmopt.schedules.workload import Attr, Tensor

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``(N, C, L)`` → ``(N, C, 1, L)``; missing dimensions in front are of size one. Rank 4 stays as it is."""
    if len(shape) == 4:
        return shape
    n, channels, columns = (1,) * (3 - len(shape)) + shape
    return (n, channels, 1, columns)


def image_of(tensor: Tensor) -> Tensor:
    """A line, or what broadcasts to one, as an image."""
    return replace(tensor, shape=image_shape(tensor.shape))


def as_image(editor: Editor, node: Node, name: str) -> str:
    """The value `name`, of rank 3 or 4, as an image; a line gets a view on behalf of `node`."""
    tensor = editor.values[name]
    if len(tensor.shape) == 4:
        return name
    made = editor.value(f"{name}_image", image_of(tensor), Origin(name, "image"))
    editor.add(Node("reshape", (name,), (made,), node.layers))
    return made


def constant_image(editor: Editor, name: str) -> str:
    """The constant `name` in the rank of images: the weights of a line, or what broadcasts to one."""
    array: Array = editor.constants[name]
    if array.ndim == 4:
        return name
    return editor.constant(f"{name}_image", np.ascontiguousarray(array.reshape(image_shape(array.shape))))


def add_image(editor: Editor, node: Node) -> str:
    """Adds `node`, which computes an image; if its output is a line, a view of the image is that line.

    Returns:
        The name of the image.
    """
    tensor = editor.values[node.output]
    if len(tensor.shape) == 4:
        editor.add(node)
        return node.output
    made = editor.value(f"{node.output}_image", image_of(tensor), Origin(node.output, "image"))
    editor.add(replace(node, outputs=(made,)))
    editor.add(Node("reshape", (made,), node.outputs, node.layers))
    return made


@dataclass(frozen=True, slots=True)
class Window:
    """How a window slides over an image.

    Attributes:
        kernel: rows and columns of the window.
        strides: steps.
        dilations: spacing of the window's elements.
        pads: top, left, bottom, right.
    """

    kernel: Pair
    strides: Pair
    dilations: Pair
    pads: Pads

    def attrs(self) -> dict[str, Attr]:
        """The attributes that convolutions and pooling have in common."""
        return {"strides": self.strides, "pads": self.pads}


def window_of(values: dict[str, Any], size: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window of an ONNX operator over a line or an image.

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
    return Window(_pair(kernel, 1), _pair(strides, 1), _pair(dilations, 1), (top, left, *_pair(after, 0)))


def _pair(sizes: tuple[int, ...], missing: int) -> Pair:
    rows, columns = (missing,) * (2 - len(sizes)) + tuple(sizes)
    return rows, columns
