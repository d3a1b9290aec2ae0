"""Makes transposed convolutions to few channels wider: their phases become channels. Returns a new graph.

A vector holds channels of one pixel, so a result of one channel would leave most of it empty. As one convolution whose
channels are the phases (`schedules.compute.phases`), moved to their pixels afterwards, the phases share a vector. But
they share the window, too, which has taps that are zero in some of them: it pays where channels are few.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, rewrite
from tvmopt.schedules.compute.phases import Phases, phases_of
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Attr


def widen_phases(graph: Graph, target: Target) -> Graph:
    """Replaces each ``transposed_conv2d`` for which it takes fewer vectors by a ``conv2d`` and a ``depth_to_space``.

    None where NaN must touch only what it should: the taps that are zero in some phases would spread it.
    """
    if target.strict_nan:
        return graph

    def rule(editor: Editor, node: Node) -> bool:
        if node.op != "transposed_conv2d" or node.attrs["groups"] != 1:
            return False
        axes = _axes(editor.constants[node.inputs[1]], node)
        if any(axis.step != 1 for axis in axes) or any(_first(axis) > 0 for axis in axes):
            return False
        if any(editor.constants[name].shape != _by_channel(editor, node) for name in node.inputs[2:]):
            return False
        lanes = target.lanes(editor.values[node.output].dtype)
        if _wide_vectors(axes, _channels(editor, node), lanes) >= _vectors(axes, _channels(editor, node), lanes):
            return False
        _widen(editor, node, axes)
        return True

    return rewrite(graph, rule)


def _axes(weight: Array, node: Node) -> tuple[Phases, Phases]:
    strides, dilations, pads = (node.attrs[name] for name in ("strides", "dilations", "pads"))
    assert isinstance(strides, tuple)
    assert isinstance(dilations, tuple)
    assert isinstance(pads, tuple)
    rows, columns = (phases_of(weight.shape[2 + i], strides[i], dilations[i], pads[i]) for i in range(2))
    return rows, columns


def _channels(editor: Editor, node: Node) -> int:
    return editor.values[node.output].shape[1]


def _by_channel(editor: Editor, node: Node) -> tuple[int, ...]:
    return (1, _channels(editor, node), 1, 1)


def _first(axis: Phases) -> int:
    """The first shift of any phase."""
    return min((phase.shift for phase in axis.each if phase.taps), default=0)


def _window(axis: Phases) -> int:
    """Taps of the window that all phases share."""
    return max(phase.shift + len(phase.taps) for phase in axis.each) - _first(axis)


def _vectors(axes: Sequence[Phases], channels: int, lanes: int) -> int:
    """Multiply-adds of vectors, for each input channel and pixel, phase by phase."""
    taps = [sum(len(phase.taps) for phase in axis.each) for axis in axes]
    return math.prod(taps) * math.ceil(channels / lanes)


def _wide_vectors(axes: Sequence[Phases], channels: int, lanes: int) -> int:
    """Multiply-adds of vectors, for each input channel and pixel, with phases as channels."""
    count = math.prod(len(axis.each) for axis in axes)
    return math.prod(map(_window, axes)) * math.ceil(channels * count / lanes)


def _widen(editor: Editor, node: Node, axes: tuple[Phases, Phases]) -> None:
    weight, data, made = (editor.constants[node.inputs[1]], editor.values[node.inputs[0]], editor.values[node.output])
    rows, columns = (len(axis.each) for axis in axes)
    channels, inputs = weight.shape[:2]
    wide = np.zeros((channels, rows, columns, inputs, *map(_window, axes)), weight.dtype)
    firsts = tuple(map(_first, axes))
    for row, column in itertools.product(range(rows), range(columns)):
        down, right = axes[0].each[row], axes[1].each[column]
        for (i, tap), (j, other) in itertools.product(enumerate(down.taps), enumerate(right.taps)):
            at = (down.shift + i - firsts[0], right.shift + j - firsts[1])
            wide[:, row, column, :, at[0], at[1]] = weight[:, :, tap, other]
    wide = wide.reshape(-1, inputs, *wide.shape[4:])
    size = tuple(math.ceil(made.shape[2 + i] / len(axes[i].each)) for i in range(2))
    after = (max(0, size[i] - 1 + firsts[i] + wide.shape[2 + i] - data.shape[2 + i]) for i in range(2))
    names = [editor.constant(f"{node.inputs[1]}_phases", wide)]
    for name in node.inputs[2:]:
        repeated = np.repeat(editor.constants[name], rows * columns, axis=1)
        names.append(editor.constant(f"{name}_phases", repeated))
    phases = editor.value(f"{node.output}_phases", replace(made, shape=(made.shape[0], wide.shape[0], *size)))
    # Taps of a phase meet neighbouring elements, however far apart they are in the weights.
    attrs = {**node.attrs, "strides": (1, 1), "dilations": (1, 1), "pads": (-firsts[0], -firsts[1], *after)}
    editor.add(replace(node, op="conv2d", inputs=(node.inputs[0], *names), outputs=(phases,), attrs=attrs))
    order: dict[str, Attr] = {"strides": (rows, columns), "order": "CRD"}
    editor.add(Node("depth_to_space", (phases,), node.outputs, node.layers, order))
