"""Exhaustive search."""

from __future__ import annotations

import numpy as np

from tvmopt.pipeline.tuning.tuners.base import OnceEach


class GridTuner(OnceEach):
    """All configs in the space's own order."""

    def _choose(self, count: int) -> list[int]:
        return [int(position) for position in np.flatnonzero(self.is_open)[:count]]
