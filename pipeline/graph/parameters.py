"""Parameters that ONNX operators have as attributes in some versions and as constant inputs in others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import Array, Node


@dataclass(frozen=True, slots=True)
class Padding:
    """What a Pad adds.

    Attributes:
        before: elements before each axis; negative ones are cut off.
        after: elements after each axis.
        mode: ``constant``, ``reflect``, ``edge``, ``wrap``.
        fill: the value that a constant padding adds.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    mode: str
    fill: float


def padding_of(constants: Mapping[str, Array], node: Node, rank: int) -> Padding | None:
    """The parameters of a Pad; None if they are computed.

    Args:
        constants: arrays by name.
        node: the Pad.
        rank: of its input.
    """
    values = attributes(node)
    mode = str(values.get("mode", "constant"))
    if "pads" in values:
        amounts, fill, axes = [int(x) for x in values["pads"]], float(values.get("value", 0.0)), list(range(rank))
    else:
        given = dict(enumerate(name for name in node.inputs))
        if any(name and name not in constants for place, name in given.items() if place > 0):
            return None
        amounts = constants[given[1]].reshape(-1).tolist()
        fill = float(constants[given[2]].reshape(-1)[0]) if given.get(2) else 0.0
        axes = list(range(rank))
        if given.get(3):
            axes = [int(axis) % rank for axis in constants[given[3]].reshape(-1)]
    before, after = [0] * rank, [0] * rank
    for place, axis in enumerate(axes):
        before[axis], after[axis] = int(amounts[place]), int(amounts[len(axes) + place])
    return Padding(tuple(before), tuple(after), mode, fill)


def slice_of(constants: Mapping[str, Array], node: Node, shape: tuple[int, ...]) -> dict[int, tuple[int, int]] | None:
    """The ranges of a Slice without steps: by axis, the first index and the one after the last; None for any other.

    Args:
        constants: arrays by name.
        node: the Slice.
        shape: of its first input.
    """
    values = attributes(node)
    if "starts" in values:
        given: dict[str, Any] = {name: values.get(name) for name in ("starts", "ends", "axes")}
    else:
        if any(name and name not in constants for name in node.inputs[1:]):
            return None
        names = dict(zip(("starts", "ends", "axes", "steps"), node.inputs[1:], strict=False))
        given = {key: constants[name].reshape(-1).tolist() for key, name in names.items() if name}
    starts, ends = given["starts"], given["ends"]
    axes = given.get("axes") or range(len(starts))
    steps = given.get("steps") or [1] * len(starts)
    if any(step != 1 for step in steps):
        return None
    ranges = {}
    for start, end, axis in zip(starts, ends, axes, strict=True):
        place = int(axis) % len(shape)
        first, last, _ = slice(int(start), int(end)).indices(shape[place])
        ranges[place] = (first, last)
    return ranges
