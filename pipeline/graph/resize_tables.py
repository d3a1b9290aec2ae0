"""Source indices and weights of a resized axis, by the rules of ONNX's Resize."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def tables(values: dict[str, Any], kind: str, before: int, after: int, scale: float) -> tuple[Array, Array] | None:
    """Indices and weights, each ``(after, taps)``; None for a mode that is not covered.

    Args:
        values: the node's attributes.
        kind: ``Resize`` or ``Upsample``; the latter is always asymmetric and rounds down.
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
        rounding = "floor" if kind == "Upsample" else values.get("nearest_mode", "round_prefer_floor")
        index = np.clip(_round(position, rounding), 0, before - 1).astype(np.int32)
        return index[:, None], np.ones((after, 1), np.float32)
    if mode == "linear":
        low = np.floor(position)
        share = (position - low).astype(np.float32)
        index = np.stack([low, low + 1], axis=1)
        return np.clip(index, 0, before - 1).astype(np.int32), np.stack([1 - share, share], axis=1)
    return None


def _coordinates(mode: str, before: int, after: int, scale: float) -> Array | None:
    place = np.arange(after, dtype=np.float64)
    if mode == "half_pixel":
        return (place + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (place + 0.5) / scale - 0.5 if after > 1 else np.zeros(1)
    if mode == "asymmetric":
        return place / scale
    if mode == "align_corners":
        return place * (before - 1) / (after - 1) if after > 1 else np.zeros(1)
    return None


def _round(position: Array, mode: str) -> Array:
    if mode == "floor":
        return np.floor(position)
    if mode == "ceil":
        return np.ceil(position)
    # The rounding of exact halves is what the two names say; elsewhere they agree.
    return np.ceil(position - 0.5) if mode == "round_prefer_floor" else np.floor(position + 0.5)
