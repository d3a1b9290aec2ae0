"""Operators that only move elements or choose among them, in QDQ form, as the same operators of integers.

Rounding is monotonic and works on each element alone: the integers of what is moved are the integers, moved. So an
operator behind a DequantizeLinear reads the integers themselves, and one before a QuantizeLinear gets its operands
rounded. Operands of a concatenation in several scales get that of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.attributes import attributes
from tvmopt.pipeline.graph.ir import ONNX, Editor, Node, Origin
from tvmopt.pipeline.graph.parameters import padding_of
from tvmopt.pipeline.graph.quantized.scales import Scale
from tvmopt.pipeline.graph.quantized.values import QuantizedValues
from tvmopt.schedules.compute.functions import QUANTIZED


def move(values: QuantizedValues, editor: Editor, node: Node) -> bool:
    """Adds `node` as an operator of integers; returns False and adds nothing where that is not possible or no gain."""
    check = _MOVES.get(node.kind) if node.op == ONNX else None
    if check is None or not check(values, node):
        return False
    taken = node.inputs if node.kind == "Concat" else node.inputs[:1]
    if any(name in values.graph.constants or values.graph.tensor(name).dtype != "float32" for name in taken):
        return False
    scale = _scale(values, node, taken)
    if scale is None:
        return False
    integers = [values.as_integers(editor, node, name, scale) for name in taken]
    made = [values.place(editor, name, scale) for name in node.outputs]
    rest = _parameters(editor, node, scale) if node.kind == "Pad" else node.inputs[len(taken) :]
    editor.add(replace(node, inputs=(*integers, *rest), outputs=tuple(one.name for one in made)))
    if node.kind == "Concat":
        _note_parts(values, editor, node, (tuple(integers), made[0].name))
    for name, one in zip(node.outputs, made, strict=True):
        values.know(editor, name, one)
    return True


def _note_parts(values: QuantizedValues, editor: Editor, node: Node, names: tuple[tuple[str, ...], str]) -> None:
    """Notes that integers made only to be joined are parts of the result: they have no other value in the model."""
    parts, whole = names
    axis = int(attributes(node)["axis"]) % len(values.graph.tensor(node.output).shape)
    for name in parts:
        if name not in values.graph.values and name not in editor.origins:
            editor.origins[name] = Origin(whole, "part", parts, axis)


def _scale(values: QuantizedValues, node: Node, taken: tuple[str, ...]) -> Scale | None:
    """The scale in which the operands are moved; None if floats are."""
    known = [values.floats.get(name) for name in taken]
    first, behind = known[0], _scale_behind(values, node)
    if first is not None and all(one is not None and one.scale.equals(first.scale) for one in known):
        # An operand that only passes through in another scale is rounded again behind this operator.
        scale: Scale | None = first.scale if len(taken) == 1 or behind is None else behind
    else:
        scale = behind
    if scale is None or not _fits(values, node, scale):
        return None
    return scale


def _scale_behind(values: QuantizedValues, node: Node) -> Scale | None:
    """The only scale in which the results are read, at once or behind further operators of `_MOVES`."""
    scales = [values.scale_behind(name) or _scale_further(values, name) for name in node.outputs]
    first = scales[0]
    alike = first is not None and all(scale is not None and scale.equals(first) for scale in scales)
    return first if alike else None


def _scale_further(values: QuantizedValues, name: str) -> Scale | None:
    """The scale in which the only reader's result is read, if that reader only moves its operand."""
    readers = values.readers[name]
    if name in values.graph.outputs or len(readers) != 1 or readers[0].op != ONNX or readers[0].kind == "Concat":
        return None
    check = _MOVES.get(readers[0].kind)
    if check is None or readers[0].inputs[0] != name or not check(values, readers[0]):
        return None
    scale = _scale_behind(values, readers[0])
    return scale if scale is not None and _fits(values, readers[0], scale) else None


def _fits(values: QuantizedValues, node: Node, scale: Scale) -> bool:
    """Whether the operator leaves each element its scale, and its kernels know the integers."""
    if node.kind == "Pad" and not _zero_is_exact(values, node):
        return False
    return scale.is_single or node.kind in _BY_CHANNEL


def _zero_is_exact(values: QuantizedValues, node: Node) -> bool:
    padding = padding_of(values.graph.constants, node, len(values.graph.tensor(node.inputs[0]).shape))
    return padding is not None and (padding.mode != "constant" or padding.fill == 0.0)


def _parameters(editor: Editor, node: Node, scale: Scale) -> tuple[str, ...]:
    """The further inputs of a Pad whose number is the zero point."""
    zero = editor.constant(f"{node.output}_zero", np.array(scale.unsigned_zero, QUANTIZED))
    return (node.inputs[1], zero, *node.inputs[3:])


Check = Callable[[QuantizedValues, Node], bool]
"""Whether an operator can move integers."""


def _always(values: QuantizedValues, node: Node) -> bool:
    return True


def _constant_parameters(values: QuantizedValues, node: Node) -> bool:
    """Of operators whose further inputs must be known."""
    return all(name in values.graph.constants for name in node.inputs[1:] if name)


def _pad(values: QuantizedValues, node: Node) -> bool:
    """Amounts as an input, and zero or elements of the operand to add."""
    return "pads" not in attributes(node) and _constant_parameters(values, node) and _zero_is_exact(values, node)


def _maximum(values: QuantizedValues, node: Node) -> bool:
    """Without indices; a maximum of nothing but padding would be less than every integer."""
    return len(node.outputs) == 1


def _maps(values: QuantizedValues, node: Node) -> bool:
    """Of rows and columns: kernels for volumes know no integers."""
    return len(values.graph.tensor(node.inputs[0]).shape) <= 4


def _nearest(values: QuantizedValues, node: Node) -> bool:
    """Of maps: every pixel is one of the operand's."""
    options = attributes(node)
    crops = options.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    nearest = str(options.get("mode", "nearest")) == "nearest" and not crops and not options.get("antialias", 0)
    shapes = [values.graph.tensor(name).shape for name in (node.inputs[0], node.output)]
    maps = len(shapes[0]) == 4 and shapes[0][:2] == shapes[1][:2]
    stretches = str(options.get("keep_aspect_ratio_policy", "stretch")) == "stretch" and not options.get("axes")
    return nearest and maps and stretches and _constant_parameters(values, node)


_MOVES: Mapping[str, Check] = {
    "MaxPool": _maximum,
    "GlobalMaxPool": _maps,
    "Concat": _always,
    **dict.fromkeys(("Transpose", "DepthToSpace", "SpaceToDepth", "Identity"), _always),
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), _constant_parameters),
    **dict.fromkeys(("Split", "Slice", "Expand", "Tile", "Gather"), _constant_parameters),
    "Pad": _pad,
    **dict.fromkeys(("Resize", "Upsample"), _nearest),
}
"""The operators that move elements or choose among them, and what each must be like."""

_BY_CHANNEL = ("MaxPool", "GlobalMaxPool", "Pad", "Resize", "Upsample", "Identity")
"""The operators of maps whose channels stay where they are."""
