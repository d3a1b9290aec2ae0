"""Reductions over no axes, and of booleans."""

from __future__ import annotations

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Draft, Rule, attributes_of, input_of

_OF_ONE = {"ReduceL1": "Abs", "ReduceL2": "Abs", "ReduceLogSum": "Log", "ReduceSumSquare": "square"}
"""What a reduction makes of a single element; the others leave it alone."""


def _axes(draft: Draft, node: onnx.NodeProto) -> list[int] | None:
    """The axes that the node lists; None where it lists none."""
    if input_of(node, 1):
        listed = draft.constant(node.input[1]).reshape(-1).tolist()
    else:
        listed = list(attributes_of(node).get("axes", ()))
    return [int(axis) for axis in listed] or None


def reduction(draft: Draft, node: onnx.NodeProto) -> bool:
    """A reduction without axes, whose meaning is in an attribute, and one of booleans."""
    data, values = node.input[0], attributes_of(node)
    keepdims, axes, rank = bool(values.get("keepdims", 1)), _axes(draft, node), len(draft.shape(data))
    if (axes is None and values.get("noop_with_empty_axes", 0)) or not rank:
        draft.give(node.output[0], _of_one(draft, node.op_type, data))
        return True
    if draft.dtype(data) == np.bool_:
        wide = draft.reduce(node.op_type, draft.cast(data, np.int32), axes or range(rank), keepdims)
        draft.give(node.output[0], draft.cast(wide, np.bool_))
        return True
    if axes is not None or not (input_of(node, 1) or "axes" in values):
        return False
    draft.give(node.output[0], draft.reduce(node.op_type, data, range(rank), keepdims))
    return True


def _of_one(draft: Draft, kind: str, data: str) -> str:
    """What a reduction makes of each element alone."""
    function = _OF_ONE.get(kind)
    if function is None:
        return data
    return draft.add("Mul", data, data) if function == "square" else draft.add(function, data)


_KINDS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
RULES: dict[str, Rule] = dict.fromkeys((f"Reduce{kind}" for kind in _KINDS), reduction)
