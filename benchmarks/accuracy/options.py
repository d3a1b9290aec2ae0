"""Options of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tvmopt.benchmarks.measurements.options import DataOptions


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What to evaluate.

    Attributes:
        model: MODEL as on the command line, or an artifact (.tar).
        data: the labelled set.
        runtimes: names; all when empty. Those of an artifact are itself alone.
        threads: threads of each.
        batch: batch size; the model's own, or 1 where it leaves that open, when None.
        against: another model, such as the one before quantisation, whose accuracy differences are to; the model itself
            in its original framework, or in ONNX Runtime, when None.
        logs: folders of tuning records for the tuned row, in search order.
        results: the folder where judgements are kept; the cache when None.
        fresh: whether to judge anew what earlier runs have judged.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        input_values: values of inputs that become constants.
    """

    model: str
    data: DataOptions
    runtimes: tuple[str, ...] = ()
    threads: int = 1
    batch: int | None = None
    against: str | None = None
    logs: tuple[Path, ...] = ()
    results: Path | None = None
    fresh: bool = False
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
