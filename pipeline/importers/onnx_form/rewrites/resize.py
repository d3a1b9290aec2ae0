"""Resize beyond images along rows and columns: axis by axis, as a sum of weighted elements.

Images that are only stretched stay: a template takes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Array, Draft, Rule, attributes_of, input_of
from tvmopt.pipeline.importers.onnx_form.rewrites.resize_tables import WHOLE, AxisResize, tables

_MOST_TAPS = 8
"""An axis whose elements are sums of more elements is multiplied by a matrix instead."""

_IMAGE_MODES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners")


def resize(draft: Draft, node: onnx.NodeProto) -> bool:
    """Resize with constant sizes or scales."""
    values, before, after = attributes_of(node), draft.shape(node.input[0]), draft.shape(node.output[0])
    rank = len(before)
    axes = [int(axis) % rank for axis in values.get("axes", range(rank))]
    scales, given = _scales(draft, node, axes, before, after), _region(draft, node, axes)
    if before == after and values.get("coordinate_transformation_mode") != "tf_crop_and_resize":
        draft.give(node.output[0], node.input[0])  # onnxruntime leaves such a map alone, whatever the scales
        return True
    if _is_image(values, before, after, draft.dtype(node.input[0])):
        return False
    plans = [AxisResize(before[axis], after[axis], scales[axis], given.get(axis, WHOLE)) for axis in range(rank)]
    made = [None if plan.is_idle else tables(values, "Resize", plan) for plan in plans]
    dtype = draft.dtype(node.input[0])
    nearest = values.get("mode", "nearest") == "nearest"
    if any(table is None and not plan.is_idle for table, plan in zip(made, plans, strict=True)):
        return False
    if dtype.kind != "f" and not nearest:
        return False
    halves = dtype.itemsize == 2 and not nearest  # sums of float16 are taken in float32
    name, shape = draft.cast(node.input[0], np.float32) if halves else node.input[0], list(before)
    for axis, table in enumerate(made):
        if table is not None:
            weight = table[1].astype(np.float32 if halves else dtype)
            name = _along(draft, name, shape, axis, (table[0], weight))
            shape[axis] = after[axis]
    name = draft.cast(name, dtype) if halves else name
    draft.give(node.output[0], _outside(draft, name, plans, draft.store(values.get("extrapolation_value", 0), dtype)))
    return True


def _outside(draft: Draft, name: str, plans: Sequence[AxisResize], value: str) -> str:
    """`name` with `value` for elements whose position on some axis is outside of the data."""
    inside = np.ones([plan.after for plan in plans], bool)
    for axis, plan in enumerate(plans):
        if plan.region != WHOLE:
            within = plan.crops()
            inside &= within.reshape(-1, *[1] * (len(plans) - axis - 1))
    return name if inside.all() else draft.add("Where", draft.store(inside), name, value)


def _is_image(values: dict[str, Any], before: Sequence[int], after: Sequence[int], dtype: np.dtype[Any]) -> bool:
    """Whether a template takes the node as it is."""
    return (
        len(before) == 4
        and dtype == np.float32
        and tuple(before[:2]) == tuple(after[:2])
        and values.get("coordinate_transformation_mode", "half_pixel") in _IMAGE_MODES
        and values.get("keep_aspect_ratio_policy", "stretch") == "stretch"
        and not values.get("antialias", 0)
        and not values.get("axes")
    )


def _scales(
    draft: Draft, node: onnx.NodeProto, axes: Sequence[int], before: Sequence[int], after: Sequence[int]
) -> list[float]:
    """The factor of each axis, as the model gives it or as the sizes have it."""
    scales = [1.0] * len(before)
    if input_of(node, 2) and draft.shape(node.input[2]) != (0,):
        for axis, scale in zip(axes, draft.constant(node.input[2]).reshape(-1), strict=True):
            scales[axis] = float(scale)
        return scales
    sizes = draft.constant(input_of(node, 3)).reshape(-1)
    policy = attributes_of(node).get("keep_aspect_ratio_policy", "stretch")
    each = [float(np.float32(size) / np.float32(before[axis])) for axis, size in zip(axes, sizes, strict=True)]
    if policy != "stretch":
        each = [min(each) if policy == "not_larger" else max(each)] * len(each)
    for axis, scale in zip(axes, each, strict=True):
        scales[axis] = scale
    return scales


def _region(draft: Draft, node: onnx.NodeProto, axes: Sequence[int]) -> dict[int, tuple[float, float]]:
    """The part of each axis that ``tf_crop_and_resize`` takes, as shares of its size."""
    if attributes_of(node).get("coordinate_transformation_mode") != "tf_crop_and_resize":
        return {}
    bounds = draft.constant(node.input[1]).reshape(2, -1)
    return {axis: (float(start), float(end)) for axis, start, end in zip(axes, *bounds, strict=True)}


def _along(draft: Draft, name: str, shape: Sequence[int], axis: int, table: tuple[Array, Array]) -> str:
    """`name` of `shape` with one axis resized."""
    index, weight = table
    after, taps = index.shape
    if taps == 1 and np.all(weight == 1):
        return draft.take(name, index[:, 0], axis)
    column = (after, *[1] * (len(shape) - axis - 1))
    if taps <= _MOST_TAPS:
        total = ""
        for tap in range(taps):
            factor = draft.store(weight[:, tap].reshape(column))
            part = draft.add("Mul", draft.take(name, index[:, tap], axis), factor)
            total = draft.add("Add", total, part) if total else part
        return total
    matrix = np.zeros((after, shape[axis]), weight.dtype)
    np.add.at(matrix, (np.arange(after)[:, None], index), weight)
    outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
    flat = draft.reshape(name, (outer, shape[axis], inner))
    product = draft.add("MatMul", draft.store(matrix), flat)
    return draft.reshape(product, (*shape[:axis], after, *shape[axis + 1 :]))


RULES: dict[str, Rule] = {"Resize": resize}
