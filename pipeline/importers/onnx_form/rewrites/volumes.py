"""Transposed convolutions over volumes, as transposed convolutions of images.

The planes of the result fall into phases (`schedules.compute.phases`): each depends on its own share of the window's
planes. The planes of data that a phase multiplies for one plane of the result are put side by side as channels, and so
each phase is one transposed convolution of images. Each product is computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Array, Draft, Rule, attributes_of, input_of
from tvmopt.pipeline.importers.onnx_form.rewrites.windows import cut_off
from tvmopt.schedules.compute.phases import Phase, phases_of

PLANES_FIRST = (0, 2, 1, 3, 4)
"""The permutation between channels and planes, its own inverse."""


@dataclass(frozen=True, slots=True)
class _Images:
    """What the phases have in common.

    Attributes:
        source: planes of data with padding, ``(N, D, C, H, W)``.
        shape: of the source.
        before: planes of padding in front.
        planes: of the result, in each phase.
        step: between the planes that neighbouring taps meet.
        groups: of channels.
        attributes: those of the convolutions of images.
    """

    source: str
    shape: tuple[int, ...]
    before: int
    planes: int
    step: int
    groups: int
    attributes: dict[str, Any]


def transposed_convolution(draft: Draft, node: onnx.NodeProto) -> bool:
    """ConvTranspose in three dimensions with constant weights."""
    (data, weight), values = node.input[:2], attributes_of(node)
    shape, made = draft.shape(data), draft.shape(node.output[0])
    if len(shape) != 5 or draft.dtype(data) != np.float32 or not draft.is_constant(weight):
        return False
    array, sizes, groups = draft.constant(weight), shape[2:], int(values.get("group", 1))
    strides, dilations = (tuple(values.get(name, (1, 1, 1))) for name in ("strides", "dilations"))
    pads = cut_off(values, sizes, array.shape[2:], made[2:])
    reach = [(taps - 1) * dilation for taps, dilation in zip(array.shape[2:], dilations, strict=True)]
    # What is cut off behind; where that is negative, the result is longer than the products reach.
    behind = [(sizes[i] - 1) * strides[i] + reach[i] + 1 - pads[i] - made[2 + i] if i else 0 for i in range(3)]
    if min(pads[:3]) < 0 or any(-behind[i] >= max(strides[i], dilations[i]) for i in (1, 2)):
        return False
    if strides == (1, 1, 1) and _as_convolution(draft, node, array, dilations, pads):
        return True
    phases = phases_of(array.shape[2], strides[0], dilations[0], pads[0])
    before, after = phases.reach(made[2], sizes[0])
    planes = -(-made[2] // strides[0])
    after = max(after, planes - sizes[0])  # a phase without taps reads planes, too
    attributes = {
        "strides": strides[1:],
        "dilations": dilations[1:],
        "pads": [*pads[1:3], *(max(0, extent) for extent in behind[1:])],
        "output_padding": [max(0, -extent) for extent in behind[1:]],
        "group": groups,
    }
    source = draft.transpose(data, PLANES_FIRST)
    if before or after:
        source = draft.add("Pad", source, draft.ints(0, before, 0, 0, 0, 0, after, 0, 0, 0))
    padded = (shape[0], sizes[0] + before + after, shape[1], *sizes[1:])
    images = _Images(source, padded, before, planes, phases.step, groups, attributes)
    parts = [_phase(draft, images, phase, array, input_of(node, 2)) for phase in phases.each]
    joined = parts[0] if len(parts) == 1 else draft.add("Concat", *parts, axis=1)
    volume = draft.reshape(joined, (made[0], planes * strides[0], made[1], *made[3:]))
    if planes * strides[0] > made[2]:
        volume = draft.slice(volume, 1, 0, made[2])
    draft.give(node.output[0], draft.transpose(volume, PLANES_FIRST))
    return True


def _as_convolution(
    draft: Draft, node: onnx.NodeProto, weight: Array, dilations: tuple[int, ...], pads: tuple[int, ...]
) -> bool:
    """Without strides: a convolution with the weights in reverse, where no element of the data is cut off."""
    sizes, made = draft.shape(node.input[0])[2:], draft.shape(node.output[0])[2:]
    groups = int(attributes_of(node).get("group", 1))
    reach = [(taps - 1) * dilation for taps, dilation in zip(weight.shape[2:], dilations, strict=True)]
    before = [reach[i] - pads[i] for i in range(3)]
    after = [made[i] + reach[i] - sizes[i] - before[i] for i in range(3)]
    if min(*before, *after) < 0:
        return False
    apart = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    turned = np.flip(apart.reshape(-1, *apart.shape[2:]), (2, 3, 4))
    inputs = (node.input[0], draft.store(turned), *node.input[2:])
    attributes = {"dilations": dilations, "pads": [*before, *after], "group": groups}
    draft.give(node.output[0], draft.add("Conv", *inputs, kernel_shape=weight.shape[2:], **attributes))
    return True


def _phase(draft: Draft, images: _Images, phase: Phase, weight: Array, bias: str) -> str:
    """The images of one phase, ``(N · planes, M, …)``."""
    n, _, channels, *size = images.shape
    if not phase.taps:
        phase, weight = Phase((0,), 0), np.zeros_like(weight)
    read = []
    for number in range(len(phase.taps)):
        first = images.before + phase.shift + number * images.step
        part = draft.slice(images.source, 1, first, first + images.planes)
        read.append(draft.reshape(part, (n * images.planes, channels, *size)))
    taps = [weight[:, :, tap] for tap in phase.taps]
    if images.groups == channels > 1:
        # Side by side they would no longer have a channel for each group.
        return _summed(draft, images, read, taps, bias)
    groups = images.groups
    grouped = [tap.reshape(groups, -1, *tap.shape[1:]) for tap in taps]
    wide = np.concatenate(grouped, axis=1).reshape(-1, *taps[0].shape[1:])
    return _convolved(draft, images, _side_by_side(draft, images, read), wide, bias)


def _side_by_side(draft: Draft, images: _Images, read: list[str]) -> str:
    """Several planes as the channels of one image, group by group."""
    if len(read) == 1:
        return read[0]
    n, _, channels, *size = images.shape
    if images.groups == 1:
        return draft.add("Concat", *read, axis=1)
    grouped = [
        draft.reshape(name, (n * images.planes, images.groups, channels // images.groups, *size)) for name in read
    ]
    joined = draft.add("Concat", *grouped, axis=2)
    return draft.reshape(joined, (n * images.planes, len(read) * channels, *size))


def _summed(draft: Draft, images: _Images, read: list[str], taps: list[Array], bias: str) -> str:
    """The sum of a convolution for each plane."""
    total = _convolved(draft, images, read[0], taps[0], bias)
    for name, tap in zip(read[1:], taps[1:], strict=True):
        total = draft.add("Add", total, _convolved(draft, images, name, tap, ""))
    return total


def _convolved(draft: Draft, images: _Images, data: str, weight: Array, bias: str) -> str:
    inputs = (data, draft.store(weight), *((bias,) if bias else ()))
    return draft.add("ConvTranspose", *inputs, kernel_shape=weight.shape[2:], **images.attributes)


RULES: dict[str, Rule] = {"ConvTranspose": transposed_convolution}
