"""Source indices and weights of a resized axis, by the rules of ONNX's Resize."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HALF = 1e-6
"""A position this close to a half counts as a half, as in onnxruntime, whose positions are float32."""


def tables(values: dict[str, Any], kind: str, before: int, after: int, scale: float) -> tuple[Array, Array] | None:
    """Indices and weights, each ``(after, taps)``; None for a mode that is not covered.

    Args:
        values: the node's attributes.
        kind: ``Resize`` or ``Upsample``; the latter is always asymmetric, and rounds up where it makes the axis
            shorter, else down.
        before: size of the axis.
        after: its size in the output.
        scale: the factor that the model gives, which may differ from after / before by rounding.
    """
    position = _coordinates(
        "asymmetric" if kind == "Upsample" else values.get("coordinate_transformation_mode", "half_pixel"),
        before,
        after,
        scale,
    )
    mode = values.get("mode", "nearest")
    if position is None:
        return None
    if mode == "nearest":
        rounding = values.get("nearest_mode", "round_prefer_floor")
        if kind == "Upsample":
            rounding = "ceil" if scale < 1 else "floor"
        index = np.clip(_round(position, rounding), 0, before - 1).astype(np.int32)
        return index[:, None], np.ones((after, 1), np.float32)
    if mode == "linear":
        low = np.floor(position)
        share = (position - low).astype(np.float32)
        index = np.stack([low, low + 1], axis=1)
        return np.clip(index, 0, before - 1).astype(np.int32), np.stack([1 - share, share], axis=1)
    if mode == "cubic":
        return _cubic(values, position, before)
    return None


def _cubic(values: dict[str, Any], position: Array, before: int) -> tuple[Array, Array]:
    """Four taps (R. Keys, Cubic convolution interpolation for digital image processing, 1981)."""
    a = float(values.get("cubic_coeff_a", -0.75))
    index = np.floor(position).astype(np.int64)[:, None] + np.arange(-1, 3)
    distance = np.abs(position.astype(np.float64)[:, None] - index)
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    weight = np.where(distance <= 1, near, far)
    if values.get("exclude_outside", 0):
        weight = np.where((index >= 0) & (index < before), weight, 0.0)
        weight = weight / weight.sum(axis=1, keepdims=True)
    return np.clip(index, 0, before - 1).astype(np.int32), weight.astype(np.float32)


def _coordinates(mode: str, before: int, after: int, scale: float) -> Array | None:
    """The input position of each output element; in float32, which decides how onnxruntime rounds halves."""
    place, step, half = np.arange(after, dtype=np.float32), np.float32(scale), np.float32(0.5)
    if mode == "pytorch_half_pixel" and after == 1:
        return np.zeros(1, np.float32)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (place + half) / step - half
    if mode == "asymmetric":
        return place / step
    if mode == "align_corners":
        return place * np.float32(before - 1) / np.float32(max(after - 1, 1))
    return None


def _round(position: Array, mode: str) -> Array:
    if mode == "floor":
        return np.floor(position)
    if mode == "ceil":
        return np.ceil(position)
    # The two other modes differ only in how they round halves.
    position = position.astype(np.float64)
    return np.ceil(position - 0.5 - HALF) if mode == "round_prefer_floor" else np.floor(position + 0.5 + HALF)
