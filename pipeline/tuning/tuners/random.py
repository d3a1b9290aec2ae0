"""Random search, without repetition."""

from __future__ import annotations

from tvmopt.pipeline.tuning.tuners.base import OnceEach


class RandomTuner(OnceEach):
    """Every open config is as likely as any other."""

    def _choose(self, count: int) -> list[int]:
        return self._any_open(count)
