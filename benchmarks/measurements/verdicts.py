"""Selects the pairs of runtimes to judge, and judges them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tvmopt.benchmarks.measurements.statistics import judge, ratio_of_medians
from tvmopt.benchmarks.measurements.types import Measurement, Verdict

TUNED, TRANSFER, UNTUNED = "tvmopt", "tvmopt-transfer", "tvmopt-untuned"

OURS = (TUNED, TRANSFER, UNTUNED)
"""Our runtimes, which are judged against every other: tuned, by transfer, and untuned, their substitute."""

OURS_INT8 = ("tvmopt-int8", "tvmopt-int8-transfer", "tvmopt-int8-untuned")
"""The same in INT8; the best prepared of them is judged against the others in INT8."""

INT8 = "INT8"
"""How the variant of a row in INT8 begins."""


def judge_rows(rows: Sequence[Measurement], reference: str) -> list[Verdict]:
    """Verdicts on the rows of one cell: ours against every other runtime, every runtime against the reference.

    Args:
        rows: the measurements of one cell.
        reference: the original framework's runtime (or onnxruntime, for a model that is an ONNX file).
    """
    measured = {row.runtime: row for row in rows if row.status == "ok"}
    pairs = (*_pairs(list(measured), reference), *_int8_pairs(list(measured.values())))
    return [_judge(measured[one], measured[other]) for one, other in pairs]


def _pairs(names: Sequence[str], reference: str) -> Iterator[tuple[str, str]]:
    for ours in OURS:
        if ours in names:
            # Of two of ours, only the better prepared one is judged against the other.
            better = OURS[: OURS.index(ours) + 1]
            yield from ((ours, other) for other in names if other not in better)
    if reference in names:
        yield from ((name, reference) for name in names if name not in (*OURS, reference))


def _int8_pairs(rows: Sequence[Measurement]) -> Iterator[tuple[str, str]]:
    """Of ours in INT8, the best prepared, against the others in INT8."""
    names = [row.runtime for row in rows]
    ours = next((name for name in OURS_INT8 if name in names), None)
    if ours is not None:
        others = (row.runtime for row in rows if row.variant.startswith(INT8) and row.runtime not in OURS_INT8)
        yield from ((ours, other) for other in others)


def _judge(row: Measurement, against: Measurement) -> Verdict:
    assert row.latency_s is not None
    assert against.latency_s is not None
    ratio, interval = ratio_of_medians(row.latency_s, against.latency_s)
    return Verdict(row.runtime, against.runtime, row.batch, row.threads, ratio, interval, judge(interval))
