"""Lets operators that only move quantised values, or choose among them, move the floats that they stand for."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import helper

_MOVING = frozenset(
    {
        *("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Gather", "Identity"),
        *("Expand", "Tile", "DepthToSpace", "SpaceToDepth", "MaxPool"),
    }
)
"""Operators whose results are some of the elements of their first operand."""

_READING = frozenset({"ArgMax"})
"""Operators whose results are the same for integers and the floats that they stand for, and not quantised."""


@dataclass(frozen=True, slots=True)
class _Scale:
    """Names of a scale and of a zero point; the latter may be empty: then a type of elements may be given, else 0."""

    scale: str
    zero: str
    dtype: int

    def operands(self, value: str) -> list[str]:
        return [value, self.scale, *filter(None, (self.zero,))]


def move_floats(nodes: Iterable[onnx.NodeProto], single: Collection[str]) -> list[onnx.NodeProto]:
    """`nodes`, with those that move results of QuantizeLinear between a DequantizeLinear and a QuantizeLinear.

    Both have the scale of the values that are moved, so that these stay the same. Scales that are not `single` numbers
    are left where they are.
    """
    scales: dict[str, _Scale] = {}
    made: list[onnx.NodeProto] = []
    for node in nodes:
        source = node.input[0] if node.input else ""
        if node.op_type == "QuantizeLinear" and node.input[1] in single:
            dtype = next((attribute.i for attribute in node.attribute if attribute.name == "output_dtype"), 0)
            scales[node.output[0]] = _Scale(node.input[1], node.input[2] if len(node.input) > 2 else "", dtype)
        made += _with_floats(node, scales) if source in scales and _moves(node, scales) else [node]
    return made


def _moves(node: onnx.NodeProto, scales: dict[str, _Scale]) -> bool:
    if node.domain:
        return False
    if node.op_type == "Concat":
        return len({scales.get(name) for name in node.input}) == 1
    single = node.op_type == "Split" or len([name for name in node.output if name]) == 1
    return single and (node.op_type in _MOVING or node.op_type in _READING)


def _with_floats(node: onnx.NodeProto, scales: dict[str, _Scale]) -> list[onnx.NodeProto]:
    """`node`, of floats, between what makes floats of its operands and integers of its results."""
    layer, scale = node.name or node.output[0], scales[node.input[0]]
    moved = onnx.NodeProto()
    moved.CopyFrom(node)
    count = len(node.input) if node.op_type == "Concat" else 1
    before = []
    for place, name in enumerate(node.input[:count]):
        moved.input[place] = f"{node.output[0]}_real_{place}"
        real = [moved.input[place]]
        before.append(helper.make_node("DequantizeLinear", scale.operands(name), real, f"{layer}/real_{place}"))
    if node.op_type in _READING:
        return [*before, moved]
    after = []
    kind: dict[str, Any] = {"output_dtype": scale.dtype} if scale.dtype else {}
    for place, name in enumerate(node.output):
        if not name:
            continue
        moved.output[place] = f"{name}_real"
        scales[name] = scale
        integers = scale.operands(moved.output[place])
        after.append(helper.make_node("QuantizeLinear", integers, [name], f"{layer}/integers_{place}", **kind))
    return [*before, moved, *after]
