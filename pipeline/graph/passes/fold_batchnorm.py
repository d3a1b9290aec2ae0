"""Folds batch normalisation into the convolution before it, or turns it into a scale and shift. Returns a new graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Editor, Graph, Node, as_float32, rewrite
from tvmopt.schedules.expression import Arg, call
from tvmopt.schedules.workload import Tensor


def fold_batchnorm(graph: Graph) -> Graph:
    """Folds every BatchNormalization with constant statistics.

    1. ``y = x·s + t`` with ``s = scale / sqrt(variance + epsilon)`` and ``t = bias - mean·s``.
    2. Behind a convolution whose result nothing else reads: weights times `s`, bias times `s` plus `t`.
    3. Elsewhere: a multiplication and an addition by channel, which later fuse with their neighbours.
    """
    producers, uses = graph.producers(), graph.uses()

    def rule(editor: Editor, node: Node) -> bool:
        if node.kind != "BatchNormalization" or len(node.outputs) != 1:
            return False
        if graph.tensor(node.inputs[0]).dtype != "float32" or node.inputs[0] in graph.constants:
            return False
        if any(name not in graph.constants for name in node.inputs[1:]):
            return False
        scale, bias, mean, variance = (as_float32(graph.constants[name]) for name in node.inputs[1:])
        factor = scale / np.sqrt(variance + np.float32(attributes(node).get("epsilon", 1e-5)))
        shift = bias - mean * factor
        conv = producers.get(node.inputs[0])
        if conv is not None and _takes(graph, conv) and uses[conv.output] == 1:
            _into_conv(editor, conv, node, factor, shift)
        else:
            _as_scale(editor, node, factor, shift)
        return True

    return rewrite(graph, rule)


def _takes(graph: Graph, conv: Node) -> bool:
    """Whether `conv` is a convolution with constant weights and bias."""
    return conv.kind == "Conv" and all(name in graph.constants for name in conv.inputs[1:] if name)


def _into_conv(editor: Editor, conv: Node, node: Node, factor: np.ndarray, shift: np.ndarray) -> None:
    constants = editor.constants
    weight = constants[conv.inputs[1]]
    weight = weight * factor.reshape(-1, *[1] * (weight.ndim - 1))
    bias = constants[conv.inputs[2]] * factor if len(conv.inputs) > 2 and conv.inputs[2] else np.zeros_like(factor)
    names = (
        editor.constant(f"{conv.inputs[1]}_folded", weight.astype(np.float32)),
        editor.constant(f"{conv.inputs[1]}_bias", (bias + shift).astype(np.float32)),
    )
    place = next(i for i, other in enumerate(editor.nodes) if other.outputs == conv.outputs)
    data = editor.nodes[place].inputs[0]
    layers = (*conv.layers, *node.layers)
    editor.nodes.pop(place)
    editor.add(replace(conv, inputs=(data, *names), outputs=node.outputs, layers=layers))


def _as_scale(editor: Editor, node: Node, factor: np.ndarray, shift: np.ndarray) -> None:
    tensor: Tensor = editor.graph.tensor(node.inputs[0])
    shape = (1, -1, *[1] * (len(tensor.shape) - 2))
    names = (
        editor.constant(f"{node.output}_scale", factor.reshape(shape)),
        editor.constant(f"{node.output}_shift", shift.reshape(shape)),
    )
    expr = call("add", call("mul", Arg(0), Arg(1)), Arg(2))
    editor.add(Node("pointwise", (node.inputs[0], *names), node.outputs, node.layers, {}, expr))
