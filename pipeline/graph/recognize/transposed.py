"""Transposed convolutions over images and lines with constant weights."""

from __future__ import annotations

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Array, Editor, Node
from tvmopt.pipeline.graph.recognize.convolution import bias_of
from tvmopt.pipeline.graph.recognize.images import add_image, as_image, kernel_image, window_of
from tvmopt.pipeline.importers.onnx_form.rewrites.windows import cut_off
from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.workload import Attr


def transposed_convolution(editor: Editor, node: Node) -> bool:
    """ConvTranspose in one or two dimensions → ``transposed_conv2d``; without stride, a convolution."""
    data, weight = node.inputs[:2]
    tensor, output = editor.graph.tensor(data), editor.graph.tensor(node.output)
    if data in editor.constants or weight not in editor.constants:
        return False
    if len(tensor.shape) not in (3, 4) or tensor.dtype != "float32":
        return False
    values = attributes(node)
    groups = int(values.get("group", 1))
    array = _by_output(editor.constants[weight], groups)
    size, kernel = tensor.shape[2:], array.shape[2:]
    pads = cut_off(values, size, kernel, output.shape[2:])
    window = window_of({**values, "pads": pads, "auto_pad": "NOTSET"}, size, kernel)
    bias = bias_of(editor, node)
    if min(window.pads[:2]) < 0 or bias is None:
        return False
    attrs: dict[str, Attr] = {**window.attrs(), "dilations": window.dilations, "groups": groups}
    op = "transposed_conv2d"
    reach = [(window.kernel[i] - 1) * window.dilations[i] for i in range(2)]
    before = tuple(reach[i] - window.pads[i] for i in range(2))
    if window.strides == (1, 1) and min(before) >= 0:
        op = "depthwise_conv2d" if groups == array.shape[0] == tensor.shape[1] > 1 else "conv2d"
        array = np.flip(array, tuple(range(2, array.ndim)))
        after = tuple(max(0, reach[i] - window.pads[2 + i]) for i in range(2))
        attrs["pads"] = (*before, *after)
    name = kernel_image(editor, editor.constant(f"{weight}_by_output", np.ascontiguousarray(array)))
    epilogue: Expr = call("add", ACC, Arg(2)) if bias else ACC
    add_image(editor, Node(op, (as_image(editor, node, data), name, *bias), node.outputs, node.layers, attrs, epilogue))
    return True


def _by_output(weight: Array, groups: int) -> Array:
    """Weights ``(C, M/group, …)`` as ``(M, C/group, …)``."""
    parts = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    return parts.reshape(-1, *parts.shape[2:])


RULES = {"ConvTranspose": transposed_convolution}
