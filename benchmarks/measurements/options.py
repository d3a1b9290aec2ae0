"""Options of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from tvmopt.benchmarks.measurements.statistics import CONFIDENCE, MIN_ROUNDS, RESAMPLES
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.types import Precision

if TYPE_CHECKING:
    import numpy as np


Method = Literal["turns", "dli"]
"""How many calls a runtime's latency is the median of.

``turns``: as many as fit in turns of one length; ``dli``: a number of sequential requests, the same for every runtime,
as in the Deep Learning Inference benchmark of the University of Nizhny Novgorod.
"""
METHODS: tuple[Method, ...] = get_args(Method)

Clock = Literal["wall", "processor"]
"""What a call's time is: what elapses, or what its process takes of all cores, threads that spin included."""


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """How to measure latencies.

    Attributes:
        method: which calls are timed.
        iterations: timed calls of every runtime with the method ``dli``, spread over the rounds.
        rounds: number of turns of every runtime.
        turn_s: approximate time of the timed calls of one turn; at least one call is made.
        untimed_calls: untimed calls at the start of each turn, which warm up threads and caches again.
        max_calls: maximum timed calls in a turn; `turn_s` and this bound only the method ``turns``.
        warmup_s: running time of each runtime before the first round.
        warmup_calls: minimum number of calls in that time.
        profile_s: approximate profiling time of each runtime, if requested.
        calibration_samples: number of samples for calibrating INT8 models.
        clock: the time that counts; the processor's is for machines that other programs keep busy.
        ready_timeout_s: time limit for preparing or loading a model.
        answer_timeout_s: time that a turn may exceed its estimate before the worker counts as hung.
    """

    method: Method = "turns"
    iterations: int = 1000
    rounds: int = 20
    turn_s: float = 0.15
    untimed_calls: int = 2
    max_calls: int = 200
    warmup_s: float = 0.5
    warmup_calls: int = 5
    profile_s: float = 2.0
    calibration_samples: int = 64
    clock: Clock = "wall"
    ready_timeout_s: float = 1800.0
    answer_timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"the method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.rounds < MIN_ROUNDS:
            raise UsageError(f"rounds must be at least {MIN_ROUNDS} for confidence intervals, got {self.rounds}")
        if self.method == "dli" and self.iterations < self.rounds:
            raise UsageError(f"iterations must be at least one for each of {self.rounds} rounds, got {self.iterations}")

    def iterations_in(self, turn: int) -> int:
        """Timed calls of the turn number `turn`, from 0, with the method ``dli``: all turns sum to `iterations`."""
        each, more = divmod(self.iterations, self.rounds)
        return each + (1 if turn < more else 0)

    def to_json(self) -> dict[str, Any]:
        """The ``protocol`` of a measurement file, without the settings of the other method."""
        unused = ("turn_s", "max_calls") if self.method == "dli" else ("iterations",)
        return {name: value for name, value in asdict(self).items() if name not in unused} | {
            "order": "in turn, every runtime once a round, all others suspended",
            "confidence": CONFIDENCE,
            "interval": f"percentile bootstrap of the median over rounds, {RESAMPLES} resamples",
        }


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to search the best parameters of every runtime.

    Attributes:
        seconds: the time for a runtime's turns in a cell, the same for all; those of a slow network take longer, since
            each value gets as many rounds as an interval needs.
        turn_s: approximate time of the timed calls of one turn; at least one call is made.
        untimed_calls: untimed calls at the start of each turn.
        max_rounds: turns of either side of a trial, at most.
        least_gain: a value is taken only if it saves more than this part of the time.
    """

    seconds: float = 20.0
    turn_s: float = 0.05
    untimed_calls: int = 1
    max_rounds: int = 20
    least_gain: float = 0.01

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 86400:
            raise UsageError(f"the seconds of a search must be above 0 and below 86400, got {self.seconds:g}")

    def rounds(self, trials: int, call_s: float) -> int:
        """Turns of either side in each of `trials` trials, where a call takes `call_s` seconds."""
        turn_s = max(self.turn_s, call_s) + self.untimed_calls * call_s
        return max(MIN_ROUNDS, min(self.max_rounds, int(self.seconds / (2 * trials * turn_s))))


@dataclass(frozen=True, slots=True)
class DataOptions:
    """A labelled set, and how to use it.

    Attributes:
        path: where it is.
        metric: a metric's name, or ``path.py:function``; the one that suits the set when None.
        preprocess: a preset's name, or ``path.py:function``; the preset that suits the model when None.
        samples: how many samples to take at random; all when None.
        seed: seed of that choice.
    """

    path: Path
    metric: str | None = None
    preprocess: str | None = None
    samples: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise UsageError(f"samples must be at least 1, got {self.samples}")


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What to compare.

    Attributes:
        model: MODEL as on the command line.
        runtimes: names; all when empty.
        batches: batch sizes; when empty, the model's own, or 1 where it leaves its first dimension open.
        threads: thread counts.
        streams: numbers of streams of the runtimes that can be set up with some; their own choice when empty.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        logs: folders of tuning records for the tuned row, in search order; they need not exist.
        data: folder of pictures for calibration and measuring, instead of the sample photographs.
        tune_trials: tuning trials before each cell; none when 0.
        layers: whether to also profile every runtime layer by layer.
        measure: how to measure latencies.
        search: how to search every runtime's parameters before its rounds; their defaults when None.
        inputs: an array for each input that the model runs on; it settles open shapes too. Random ones when None.
        input_values: values of inputs that become constants.
        precision: of a quantised model (`pipeline.importers.precision`), for every runtime.
        labelled: the labelled set that is measured on, and on which accuracy is judged; None for `data`.
    """

    model: str
    runtimes: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    threads: tuple[int, ...] = (1,)
    streams: tuple[int, ...] = ()
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    logs: tuple[Path, ...] = ()
    data: Path | None = None
    tune_trials: int = 0
    layers: bool = False
    measure: MeasureOptions = MeasureOptions()
    search: SearchOptions | None = None
    inputs: Mapping[str, np.ndarray] | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    precision: Precision = "auto"
    labelled: DataOptions | None = None

    def __post_init__(self) -> None:
        for name, values in (("batch", self.batches), ("threads", self.threads), ("streams", self.streams)):
            if any(value < 1 for value in values) or (name == "threads" and not values):
                raise UsageError(f"{name} needs whole numbers of at least 1, got {list(values)}")
