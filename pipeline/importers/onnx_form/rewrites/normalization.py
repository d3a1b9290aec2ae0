"""Normalisations with outputs or axes that TVM's importer does not take."""

from __future__ import annotations

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Draft, Rule, attributes_of, output_of


def layer_normalization(draft: Draft, node: onnx.NodeProto) -> bool:
    """LayerNormalization with its mean and inverse deviation as outputs, which are computed beside it."""
    mean_name, inverse_name = output_of(node, 1), output_of(node, 2)
    if not mean_name and not inverse_name:
        return False
    values, data = attributes_of(node), node.input[0]
    rank, dtype = len(draft.shape(data)), draft.dtype(data)
    axes = range(int(values.get("axis", -1)) % rank, rank)
    wide = data if dtype.itemsize > 2 else draft.cast(data, np.float32)
    mean = draft.reduce("ReduceMean", wide, axes)
    centred = draft.add("Sub", wide, mean)
    variance = draft.reduce("ReduceMean", draft.add("Mul", centred, centred), axes)
    epsilon = draft.store(values.get("epsilon", 1e-5), np.float32 if dtype.itemsize <= 4 else dtype)
    deviation = draft.add("Sqrt", draft.add("Add", variance, epsilon))
    draft.give(mean_name, mean)
    draft.give(inverse_name, draft.add("Reciprocal", deviation))
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    del alone.output[1:]
    draft.keep(alone)
    return True


def rms_normalization(draft: Draft, node: onnx.NodeProto) -> bool:
    """RMSNormalization over several axes (B. Zhang and R. Sennrich, Root mean square layer normalization, 2019)."""
    values, (data, scale) = attributes_of(node), node.input
    rank, dtype = len(draft.shape(data)), draft.dtype(data)
    axis = int(values.get("axis", -1)) % rank
    if axis == rank - 1 and len(draft.shape(scale)) == 1:
        return False
    wide = data if dtype.itemsize > 2 else draft.cast(data, np.float32)
    epsilon = draft.store(values.get("epsilon", 1e-5), np.float32 if dtype.itemsize <= 4 else dtype)
    square = draft.reduce("ReduceMean", draft.add("Mul", wide, wide), range(axis, rank))
    normal = draft.add("Div", wide, draft.add("Sqrt", draft.add("Add", square, epsilon)))
    made = normal if wide == data else draft.cast(normal, dtype)
    draft.give(node.output[0], draft.add("Mul", made, scale))
    return True


def lp_normalization(draft: Draft, node: onnx.NodeProto) -> bool:
    """LpNormalization by ReduceL1 or ReduceL2; where the norm is zero, the result is zero."""
    values, data = attributes_of(node), node.input[0]
    axis = int(values.get("axis", -1)) % len(draft.shape(data))
    norm = draft.reduce("ReduceL1" if values.get("p", 2) == 1 else "ReduceL2", data, [axis])
    zero, one = (draft.store(number, draft.dtype(data)) for number in (0, 1))
    safe = draft.add("Where", draft.add("Equal", norm, zero), one, norm)
    draft.give(node.output[0], draft.add("Div", data, safe))
    return True


def batch_normalization(draft: Draft, node: onnx.NodeProto) -> bool:
    """BatchNormalization in training mode: by the batch's own moments, which also move the running ones."""
    values = attributes_of(node)
    if not values.get("training_mode", 0):
        return False
    data, scale, bias, *running = node.input
    rank = len(draft.shape(data))
    axes, column = [axis for axis in range(rank) if axis != 1], (-1, *[1] * (rank - 2))
    mean = draft.reduce("ReduceMean", data, axes)
    centred = draft.add("Sub", data, mean)
    variance = draft.reduce("ReduceMean", draft.add("Mul", centred, centred), axes)
    epsilon = draft.store(values.get("epsilon", 1e-5), draft.dtype(data))
    normal = draft.add("Div", centred, draft.add("Sqrt", draft.add("Add", variance, epsilon)))
    scaled = draft.add("Mul", normal, draft.reshape(scale, column))
    draft.give(node.output[0], draft.add("Add", scaled, draft.reshape(bias, column)))
    momentum = float(values.get("momentum", 0.9))
    for place, (moment, before) in enumerate(zip((mean, variance), running, strict=True), start=1):
        if output_of(node, place):
            dtype = draft.dtype(before)
            own = draft.reshape(draft.cast(moment, dtype), (-1,))
            old = draft.add("Mul", before, draft.store(momentum, dtype))
            new = draft.add("Mul", own, draft.store(1 - momentum, dtype))
            draft.give(output_of(node, place), draft.add("Add", old, new))
    return True


RULES: dict[str, Rule] = {
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
    "LpNormalization": lp_normalization,
    "BatchNormalization": batch_normalization,
}
