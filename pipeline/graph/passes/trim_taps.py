"""Cuts off the taps of convolutions that never meet the map. Returns a new graph.

With a dilation larger than the map (atrous pyramids on small images), the outer taps of every window read only padding.
Without them the arithmetic falls to that of a smaller kernel, and the map needs no wide halo. A volume of one plane
leaves one plane of a window: what remains is a convolution over images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite
from tvmopt.schedules.workload import Attr


@dataclass(frozen=True, slots=True)
class Axis:
    """A window along one axis.

    Attributes:
        taps, step, spacing: of the window.
        size: elements of the data.
        before, after: padding.
        outputs: windows.
    """

    taps: int
    step: int
    spacing: int
    size: int
    before: int
    after: int
    outputs: int

    def useful(self) -> range:
        """From the first tap that some window has on the map to the last; at least one tap.

        One more is kept where the windows of the rest would all begin inside the map.
        """
        places = np.arange(self.outputs)[:, None] * self.step + np.arange(self.taps) * self.spacing - self.before
        meets = np.flatnonzero(((places >= 0) & (places < self.size)).any(axis=0))
        first, last = (int(meets[0]), int(meets[-1]) + 1) if len(meets) else (0, 1)
        return range(min(first, self.before // self.spacing), last)

    def cut(self, kept: range) -> Axis:
        """The window with only some taps."""
        after = max(0, self.after - (self.taps - kept.stop) * self.spacing)
        spacing = self.spacing if len(kept) > 1 else 1
        before = self.before - kept.start * self.spacing
        return replace(self, taps=len(kept), spacing=spacing, before=before, after=after)

    @property
    def plain(self) -> bool:
        """Whether each output depends on the element at its place."""
        return self.taps == self.step == 1 and self.before == self.after == 0 and self.outputs == self.size


def trim_taps(graph: Graph) -> Graph:
    """Makes the kernel of each convolution no larger than its windows' share of the map."""

    def rule(editor: Editor, node: Node) -> bool:
        if node.op not in ("conv2d", "depthwise_conv2d", "conv3d"):
            return False
        axes = _axes(editor, node)
        kept = [axis.useful() for axis in axes]
        if all(len(taps) == axis.taps for taps, axis in zip(kept, axes, strict=True)):
            return False
        weight = editor.constants[node.inputs[1]]
        whole = weight.reshape(*weight.shape[:2], *(axis.taps for axis in axes))
        for place, taps in enumerate(kept, 2):
            whole = whole.take(taps, place)
        trimmed = np.ascontiguousarray(whole.reshape(*weight.shape[:2], -1, whole.shape[-1]))
        name = editor.constant(f"{node.inputs[1]}_trimmed", trimmed)
        cut = [axis.cut(taps) for axis, taps in zip(axes, kept, strict=True)]
        made = replace(node, inputs=(node.inputs[0], name, *node.inputs[2:]), attrs=_attrs(node, cut))
        by_channel = node.attrs["groups"] == weight.shape[0] == editor.values[node.inputs[0]].shape[1] > 1
        editor.add(_over_images(made, cut[0], by_channel) if len(cut) > 2 else made)
        return True

    return rewrite(graph, rule)


def _axes(editor: Editor, node: Node) -> list[Axis]:
    """The axes of the window: along planes, if it reaches over several, then along rows and columns."""
    data, made, weight = editor.values[node.inputs[0]], editor.values[node.output], editor.constants[node.inputs[1]]
    pads, strides, dilations, depth = (_numbers(node, name) for name in ("pads", "strides", "dilations", "depth"))
    planes = depth[0] if depth else 1
    taps = (weight.shape[2] // planes, weight.shape[3])
    axes = [
        Axis(taps[i], strides[i], dilations[i], data.shape[2 + i], pads[i], pads[2 + i], made.shape[2 + i])
        for i in range(2)
    ]
    if depth:
        volumes = data.shape[0] // depth[3]
        taps_along, step, spacing, size, before, after = depth
        axes.insert(0, Axis(taps_along, step, spacing, size, before, after, made.shape[0] // volumes))
    return axes


def _numbers(node: Node, name: str) -> tuple[Any, ...]:
    value = node.attrs.get(name, ())
    assert isinstance(value, tuple)
    return value


def _attrs(node: Node, axes: list[Axis]) -> dict[str, Attr]:
    """The attributes of a convolution with these windows."""
    *depth, rows, columns = axes
    pads = (rows.before, columns.before, rows.after, columns.after)
    attrs: dict[str, Attr] = {**node.attrs, "pads": pads, "dilations": (rows.spacing, columns.spacing)}
    for axis in depth:
        attrs["depth"] = (axis.taps, axis.step, axis.spacing, axis.size, axis.before, axis.after)
    return attrs


def _over_images(node: Node, depth: Axis, by_channel: bool) -> Node:
    """`node`, or the convolution over images that is left when each window has one plane, that of its place."""
    if not depth.plain:
        return node
    attrs = {name: value for name, value in node.attrs.items() if name != "depth"}
    return replace(node, op="depthwise_conv2d" if by_channel else "conv2d", attrs=attrs)
