"""What a comparison is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tvmopt.benchmarks.measurements.statistics import CONFIDENCE, MIN_ROUNDS, RESAMPLES
from tvmopt.pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """How latencies are taken.

    Attributes:
        rounds: how often every runtime has its turn.
        turn_s: about how long the timed calls of one turn take; at least one call is made.
        untimed_calls: calls at the start of each turn that are not timed: they bring threads and caches back.
        max_calls: timed calls in a turn at most.
        warmup_s: how long each runtime runs before the first round.
        warmup_calls: calls it makes at least in that time.
        profile_s: about how long each runtime is profiled, when it is asked for.
        calibration_samples: how many samples INT8 models are calibrated on.
        ready_timeout_s: how long preparing or loading a model may take.
        answer_timeout_s: how long a turn may take beyond what was foreseen, before the worker counts as hung.
    """

    rounds: int = 20
    turn_s: float = 0.15
    untimed_calls: int = 2
    max_calls: int = 200
    warmup_s: float = 0.5
    warmup_calls: int = 5
    profile_s: float = 2.0
    calibration_samples: int = 64
    ready_timeout_s: float = 1800.0
    answer_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.rounds < MIN_ROUNDS:
            raise UsageError(f"rounds must be at least {MIN_ROUNDS}, for the intervals' sake; got {self.rounds}")

    def to_json(self) -> dict[str, Any]:
        """The ``protocol`` of a measurement file."""
        return asdict(self) | {
            "order": "in turn, every runtime once a round, all others suspended",
            "confidence": CONFIDENCE,
            "interval": f"percentile bootstrap of the median over rounds, {RESAMPLES} resamples",
        }


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What is compared.

    Attributes:
        model: MODEL as on the command line.
        runtimes: names; all when empty.
        batches: batch sizes.
        threads: thread counts.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        logs: folders of tuning records for the tuned row, the one to look in first in front; they need not exist.
        data: folder of pictures to calibrate and measure on, instead of the sample photographs.
        tune_trials: trials of tuning before each cell; none when 0.
        layers: whether every runtime is also profiled layer by layer.
        measure: how latencies are taken.
    """

    model: str
    runtimes: tuple[str, ...] = ()
    batches: tuple[int, ...] = (1,)
    threads: tuple[int, ...] = (1,)
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    logs: tuple[Path, ...] = ()
    data: Path | None = None
    tune_trials: int = 0
    layers: bool = False
    measure: MeasureOptions = MeasureOptions()

    def __post_init__(self) -> None:
        for name, values in (("batch", self.batches), ("threads", self.threads)):
            if not values or min(values) < 1:
                raise UsageError(f"{name} needs whole numbers of at least 1, got {list(values)}")
