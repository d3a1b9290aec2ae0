"""Adds kernels of integers: their operands, and the expression that makes floats of their sums."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Node
from tvmopt.pipeline.graph.quantized.weights import Weights
from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.operators import INTEGER_DENSE, INTEGER_DEPTHWISE_CONV2D
from tvmopt.schedules.workload import Tensor

SUMS = "int32"
"""The element type of sums."""


@dataclass(frozen=True, slots=True)
class Data:
    """Quantised data that a kernel reads.

    Attributes:
        name: of the value, uint8.
        scales: float32, one or one for each channel.
        zero: its zero point, or the name of a value that holds it, int32; the data is then stored without regard to
            it, its halo full of zeros.
    """

    name: str
    scales: Array
    zero: int | str


def add_kernel(editor: Editor, node: Node, data: Data, weights: Weights, bias: Array | None) -> None:
    """Adds `node`, a convolution or matrix product of integers.

    ``Σ (x - z)(w + d) = Σ (x - z) w + d Σ (x - z)``: where the zero points of weights do not fit into int8, a kernel
    whose weights are ones adds up what the windows, or rows, hold; of each channel for a depthwise convolution.

    Args:
        editor: gets it.
        node: with the outputs and attributes of the kernel, but for the zero point; its result is float32.
        data: what it reads.
        weights: of its output channels.
        bias: floats that are added, one for each output channel; None for none.
    """
    stem = node.layers[0]
    inputs, sums = _sums(editor, node, data, weights.integers)
    if weights.shifts.any():
        each = node.operator is INTEGER_DEPTHWISE_CONV2D
        ones, own = _sums(editor, node, data, np.ones_like(weights.integers if each else weights.integers[:1]))
        made = editor.values[node.output]
        total = editor.value(f"{stem}_totals", replace(made, dtype=SUMS) if each else _single_channel(made, node))
        editor.add(_kernel(node, data, ones, own, (total,)))
        inputs += [total, editor.constant(f"{stem}_shifts", _by_channel(node, weights.shifts))]
        sums = call("add", sums, call("mul", Arg(len(inputs) - 2), Arg(len(inputs) - 1)))
    expr: Expr = call("to_float32", sums)
    factors = np.broadcast_to(weights.scales * data.scales.reshape(-1), (len(weights.integers),))
    if (factors != 1).any():
        inputs.append(editor.constant(f"{stem}_scales", _by_channel(node, factors)))
        expr = call("mul", expr, Arg(len(inputs) - 1))
    if bias is not None:
        inputs.append(editor.constant(f"{stem}_bias", _by_channel(node, bias.astype(np.float32))))
        expr = call("add", expr, Arg(len(inputs) - 1))
    editor.add(_kernel(node, data, inputs, expr, node.outputs))


def _kernel(node: Node, data: Data, inputs: list[str], expr: Expr, outputs: tuple[str, ...]) -> Node:
    attrs = {**node.attrs, "zero": data.zero if isinstance(data.zero, int) else 0}
    return replace(node, inputs=tuple(inputs), outputs=outputs, attrs=attrs, epilogue=expr)


def _sums(editor: Editor, node: Node, data: Data, integers: Array) -> tuple[list[str], Expr]:
    """Data and weights, with what else the sums of the data without its zero point take, and these as int32."""
    stem = node.layers[0]
    laid_out = integers.T if node.operator is INTEGER_DENSE else integers
    inputs = [data.name, editor.constant(f"{stem}_integers", laid_out)]
    if isinstance(data.zero, int):
        return inputs, ACC
    totals = _weights_read(editor, node, data, integers)
    inputs += [data.zero, editor.constant(f"{stem}_weight_sums", totals)]
    return inputs, call("sub", ACC, call("mul", Arg(2), Arg(3)))


def _weights_read(editor: Editor, node: Node, data: Data, integers: Array) -> Array:
    """The sum of the weights that meet data, int32; for each pixel, where some windows reach into the padding."""
    wide = integers.astype(np.int32)
    pads = node.attrs.get("pads", ())
    if node.operator is INTEGER_DENSE or not any(pads if isinstance(pads, tuple) else ()):
        return _by_channel(node, wide.reshape(len(wide), -1).sum(axis=1, dtype=np.int32))
    inside = [_inside(editor, node, data, axis, integers.shape[2 + axis]) for axis in range(2)]
    taps = wide.sum(axis=1, dtype=np.int32)
    return np.asarray(np.einsum("cij,iy,jx->cyx", taps, *inside, optimize=True)[None], np.int32)


def _inside(editor: Editor, node: Node, data: Data, axis: int, taps: int) -> Array:
    """For each tap of the window and each place of the output whether it reads data: 1 or 0."""
    strides, dilations, pads = (node.attrs[name] for name in ("strides", "dilations", "pads"))
    assert isinstance(strides, tuple)
    assert isinstance(dilations, tuple)
    assert isinstance(pads, tuple)
    size, made = (editor.values[name].shape[2 + axis] for name in (data.name, node.output))
    places = np.arange(made) * strides[axis] - pads[axis] + np.arange(taps)[:, None] * dilations[axis]
    return ((places >= 0) & (places < size)).astype(np.int32)


def _by_channel(node: Node, array: Array) -> Array:
    """One number for each output channel, in the form that the kernel's epilogue reads."""
    return np.ascontiguousarray(array.reshape(-1) if node.operator is INTEGER_DENSE else array.reshape(1, -1, 1, 1))


def _single_channel(tensor: Tensor, node: Node) -> Tensor:
    """Sums for a single output channel in place of those of `tensor`."""
    shape = (*tensor.shape[:-1], 1) if node.operator is INTEGER_DENSE else (tensor.shape[0], 1, *tensor.shape[2:])
    return Tensor(shape, SUMS)


def add_pixels(editor: Editor, data: Data, rows: int, layers: tuple[str, ...]) -> Data:
    """The rows of `data` as images of one pixel each, whose channels are their elements."""
    depth = editor.values[data.name].shape[-1]
    fill = data.zero if isinstance(data.zero, int) else 0
    image = editor.value(f"{data.name}_pixels", Tensor((rows, depth, 1, 1), QUANTIZED, fill=fill))
    editor.add(Node("reshape", (data.name,), (image,), layers))
    return replace(data, name=image)
