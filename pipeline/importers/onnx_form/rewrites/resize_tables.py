"""Source indices and weights of a resized axis, by the rules of ONNX's Resize."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

HALF = 1e-6
"""A position this close to a half counts as a half, as in onnxruntime, whose positions are float32."""


WHOLE = (0.0, 1.0)
"""The region of an axis that is not cropped."""


@dataclass(frozen=True, slots=True)
class AxisResize:
    """How an axis is resized.

    Attributes:
        before: its size.
        after: its size in the output.
        scale: the factor that the model gives, which may differ from after / before by rounding.
        region: the part that ``tf_crop_and_resize`` takes, from and to shares of the axis.
    """

    before: int
    after: int
    scale: float
    region: tuple[float, float] = WHOLE

    @property
    def is_idle(self) -> bool:
        """Whether nothing changes."""
        return self.before == self.after and self.scale == 1 and self.region == WHOLE

    def crops(self) -> Array:
        """For each element of the output, whether its position in the region is inside of the axis."""
        position = _cropped(self)
        return np.asarray((position >= 0) & (position <= self.before - 1))


def tables(values: dict[str, Any], kind: str, axis: AxisResize) -> tuple[Array, Array] | None:
    """Indices and weights, each ``(after, taps)``; None for a mode that is not covered.

    Args:
        values: the node's attributes.
        kind: ``Resize`` or ``Upsample``; the latter is always asymmetric, and rounds up where it makes the axis
            shorter, else down.
        axis: the sizes.
    """
    before, after, scale = axis.before, axis.after, axis.scale
    coordinates = values.get("coordinate_transformation_mode", "half_pixel")
    position = _coordinates("asymmetric" if kind == "Upsample" else coordinates, axis)
    mode = values.get("mode", "nearest")
    if position is None:
        return None
    if mode == "nearest":
        rounding = values.get("nearest_mode", "round_prefer_floor")
        if kind == "Upsample":
            rounding = "ceil" if scale < 1 else "floor"
        index = np.clip(_round(position, rounding), 0, before - 1).astype(np.int32)
        return index[:, None], np.ones((after, 1), np.float32)
    if values.get("antialias", 0) and mode in ("linear", "cubic") and scale < 1:
        return _smooth(values, position, before, scale)
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
    index = np.floor(position).astype(np.int64)[:, None] + np.arange(-1, 3)
    weight = _kernel(values, position.astype(np.float64)[:, None] - index)
    return _clipped(values, index, weight, before)


def _smooth(values: dict[str, Any], position: Array, before: int, scale: float) -> tuple[Array, Array]:
    """As many taps as the kernel reaches when it is stretched by 1 / scale: none of the elements is skipped."""
    reach = int(np.ceil((2 if values["mode"] == "cubic" else 1) / scale))
    index = np.floor(position).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    weight = _kernel(values, (position.astype(np.float64)[:, None] - index) * scale)
    weight /= weight.sum(axis=1, keepdims=True)
    return _clipped(values, index, weight, before)


def _kernel(values: dict[str, Any], distance: Array) -> Array:
    """The weight of an element at `distance`: a triangle, or Keys' cubic."""
    distance = np.abs(distance)
    if values["mode"] == "linear":
        return np.asarray(np.maximum(1 - distance, 0))
    a = float(values.get("cubic_coeff_a", -0.75))
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.asarray(np.where(distance <= 1, near, np.where(distance < 2, far, 0.0)))


def _clipped(values: dict[str, Any], index: Array, weight: Array, before: int) -> tuple[Array, Array]:
    """Elements outside repeat the outermost one, or do not count."""
    if values.get("exclude_outside", 0):
        weight = np.where((index >= 0) & (index < before), weight, 0.0)
        weight = weight / weight.sum(axis=1, keepdims=True)
    return np.clip(index, 0, before - 1).astype(np.int32), weight.astype(np.float32)


def _coordinates(mode: str, axis: AxisResize) -> Array | None:
    """The input position of each output element; in float32, which decides how onnxruntime rounds halves."""
    before, after = axis.before, axis.after
    place, step, half = np.arange(after, dtype=np.float32), np.float32(axis.scale), np.float32(0.5)
    if mode == "pytorch_half_pixel" and after == 1:
        return np.zeros(1, np.float32)
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (place + half) / step - half
    if mode == "half_pixel_symmetric":
        adjustment = np.float32(after) / (step * np.float32(before))
        return np.float32(before) / 2 * (1 - adjustment) + (place + half) / step - half
    if mode == "asymmetric":
        return place / step
    if mode == "align_corners":
        return place * np.float32(before - 1) / np.float32(max(after - 1, 1))
    return _cropped(axis) if mode == "tf_crop_and_resize" else None


def _cropped(axis: AxisResize) -> Array:
    """The positions of the output's elements in the region of an axis: from end to end, or in the middle if one."""
    start, end = (np.float32(share) for share in axis.region)
    last = np.float32(axis.before - 1)
    if axis.after == 1:
        return np.array([(start + end) / 2 * last], np.float32)
    place = np.arange(axis.after, dtype=np.float32)
    return start * last + place * (end - start) * last / np.float32(axis.after - 1)


def _round(position: Array, mode: str) -> Array:
    if mode == "floor":
        return np.floor(position)
    if mode == "ceil":
        return np.ceil(position)
    # The two other modes differ only in how they round halves.
    position = position.astype(np.float64)
    return np.ceil(position - 0.5 - HALF) if mode == "round_prefer_floor" else np.floor(position + 0.5 + HALF)
