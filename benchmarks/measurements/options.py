"""Options of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvmopt.benchmarks.measurements.statistics import CONFIDENCE, MIN_ROUNDS, RESAMPLES
from tvmopt.pipeline.errors import UsageError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """How to measure latencies.

    Attributes:
        rounds: number of turns of every runtime.
        turn_s: approximate time of the timed calls of one turn; at least one call is made.
        untimed_calls: untimed calls at the start of each turn, which warm up threads and caches again.
        max_calls: maximum timed calls in a turn.
        warmup_s: running time of each runtime before the first round.
        warmup_calls: minimum number of calls in that time.
        profile_s: approximate profiling time of each runtime, if requested.
        calibration_samples: number of samples for calibrating INT8 models.
        ready_timeout_s: time limit for preparing or loading a model.
        answer_timeout_s: time that a turn may exceed its estimate before the worker counts as hung.
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
            raise UsageError(f"rounds must be at least {MIN_ROUNDS} for confidence intervals, got {self.rounds}")

    def to_json(self) -> dict[str, Any]:
        """The ``protocol`` of a measurement file."""
        return asdict(self) | {
            "order": "in turn, every runtime once a round, all others suspended",
            "confidence": CONFIDENCE,
            "interval": f"percentile bootstrap of the median over rounds, {RESAMPLES} resamples",
        }


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What to compare.

    Attributes:
        model: MODEL as on the command line.
        runtimes: names; all when empty.
        batches: batch sizes; when empty, the model's own, or 1 where it leaves its first dimension open.
        threads: thread counts.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        logs: folders of tuning records for the tuned row, in search order; they need not exist.
        data: folder of pictures for calibration and measuring, instead of the sample photographs.
        tune_trials: tuning trials before each cell; none when 0.
        layers: whether to also profile every runtime layer by layer.
        measure: how to measure latencies.
        inputs: an array for each input that the model runs on; it settles open shapes too. Random ones when None.
        input_values: values of inputs that become constants.
    """

    model: str
    runtimes: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    threads: tuple[int, ...] = (1,)
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    logs: tuple[Path, ...] = ()
    data: Path | None = None
    tune_trials: int = 0
    layers: bool = False
    measure: MeasureOptions = MeasureOptions()
    inputs: Mapping[str, np.ndarray] | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in (("batch", self.batches), ("threads", self.threads)):
            if any(value < 1 for value in values) or (name == "threads" and not values):
                raise UsageError(f"{name} needs whole numbers of at least 1, got {list(values)}")
