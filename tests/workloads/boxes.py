"""Boxes and scores for non-maximum suppression that hurt: ties, overlaps at a limit, no area, no number."""

from __future__ import annotations

import numpy as np


def boxes_that_hurt(images: int, count: int) -> np.ndarray:
    """Boxes ``(images, count, 4)`` of few sizes at few places: equal ones, flipped ones, some of no area, some NaN.

    Coordinates are eighths, so that areas are exact and many overlaps are equal to a limit such as 1/2.
    """
    random = np.random.default_rng(count)
    corners = random.integers(0, 25, (images, count, 2)) / 8
    sizes = random.integers(-1, 9, (images, count, 2)) / 8
    boxes = np.concatenate([corners, corners + sizes], axis=2).astype(np.float32)
    odd = random.random((images, count))
    boxes[odd < 0.05, 1] = np.nan
    boxes[(odd > 0.05) & (odd < 0.1), 3] = np.inf
    return boxes


def scores_that_hurt(images: int, classes: int, count: int) -> np.ndarray:
    """Scores of few values, both signs and 0, some of them infinite or NaN."""
    random = np.random.default_rng(count + classes)
    scores = (random.integers(-3, 8, (images, classes, count)) / 4).astype(np.float32)
    odd = random.random(scores.shape)
    scores[odd < 0.05] = np.nan
    scores[odd > 0.98] = np.inf
    scores[(odd > 0.96) & (odd < 0.98)] = -np.inf
    return scores
