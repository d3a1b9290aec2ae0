"""Transposed convolutions over images and lines with constant weights."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Array, Editor, Node
from tvmopt.pipeline.graph.recognize.convolution import bias_of
from tvmopt.pipeline.graph.recognize.images import add_image, as_image, image_of, kernel_image, window_of
from tvmopt.pipeline.importers.onnx_form.rewrites.windows import cut_off
from tvmopt.schedules.compute.phases import Phases, phases_of
from tvmopt.schedules.expression import ACC, Arg, Expr, call
from tvmopt.schedules.workload import Attr


def transposed_convolution(editor: Editor, node: Node) -> bool:
    """ConvTranspose in one or two dimensions → ``transposed_conv2d``; without stride, a convolution.

    With a kernel for each channel: depthwise convolutions, one for each phase.
    """
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
    if op == "transposed_conv2d" and groups == array.shape[0] == tensor.shape[1] > 1:
        phases = [phases_of(window.kernel[i], window.strides[i], window.dilations[i], window.pads[i]) for i in range(2)]
        if all(phase.shift <= 0 for axis in phases for phase in axis.each):
            _depthwise(editor, node, (as_image(editor, node, data), name, *bias), (phases[0], phases[1]))
            return True
    epilogue: Expr = call("add", ACC, Arg(2)) if bias else ACC
    add_image(editor, Node(op, (as_image(editor, node, data), name, *bias), node.outputs, node.layers, attrs, epilogue))
    return True


def _depthwise(editor: Editor, node: Node, inputs: tuple[str, ...], phases: tuple[Phases, Phases]) -> None:
    """Adds a depthwise convolution for each phase (`schedules.compute.phases`), whose results then go to their pixels.

    As groups of a transposed convolution, channels would have to be merged until they fill vectors, with zeros between.
    """
    data, array = editor.values[inputs[0]], editor.constants[inputs[1]]
    made = image_of(editor.values[node.output])
    rows, columns = phases
    size = tuple(-(-made.shape[2 + i] // len(phases[i].each)) for i in range(2))
    maps = []
    for down, right in itertools.product(rows.each, columns.each):
        # A phase without taps is zero wherever its window is.
        taken = array[:, :, list(down.taps or (0,))][..., list(right.taps or (0,))]
        taken = taken if down.taps and right.taps else np.zeros_like(taken)
        weight = editor.constant(f"{inputs[1]}_phase", np.ascontiguousarray(taken))
        steps, before = (rows.step, columns.step), (-down.shift, -right.shift)
        reach = [size[i] + (taken.shape[2 + i] - 1) * steps[i] for i in range(2)]
        after = tuple(max(0, reach[i] - before[i] - data.shape[2 + i]) for i in range(2))
        attrs: dict[str, Attr] = {"strides": (1, 1), "pads": (*before, *after), "dilations": steps}
        attrs["groups"] = data.shape[1]
        maps.append(editor.value(f"{node.output}_phase", replace(made, shape=(*made.shape[:2], *size))))
        epilogue: Expr = call("add", ACC, Arg(2)) if len(inputs) > 2 else ACC
        taps = (inputs[0], weight, *inputs[2:])
        editor.add(Node("depthwise_conv2d", taps, (maps[-1],), node.layers, attrs, epilogue))
    joined = replace(made, shape=(made.shape[0], made.shape[1] * len(maps), *size))
    name = editor.value(f"{node.output}_phases", joined)
    editor.add(Node("concat", tuple(maps), (name,), node.layers))
    order: dict[str, Attr] = {"strides": (len(rows.each), len(columns.each)), "order": "DCR"}
    add_image(editor, Node("depth_to_space", (name,), node.outputs, node.layers, order))


def _by_output(weight: Array, groups: int) -> Array:
    """Weights ``(C, M/group, …)`` as ``(M, C/group, …)``."""
    parts = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    return parts.reshape(-1, *parts.shape[2:])


RULES = {"ConvTranspose": transposed_convolution}
