"""From judgements to rows: values with intervals, and paired differences to the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tvmopt.benchmarks.accuracy.entrant import Entrant
from tvmopt.benchmarks.accuracy.subject import Chosen
from tvmopt.benchmarks.measurements.accuracy import Accuracy, AccuracyRow, AccuracyValue
from tvmopt.pipeline.data.metrics.metric import Difference, Score
from tvmopt.pipeline.errors import InputFileError


def rows_of(chosen: Chosen, entrants: Sequence[Entrant], reference: str) -> Accuracy:
    """The rows of `entrants`, in order.

    Args:
        chosen: the set.
        entrants: what was judged.
        reference: the name of the entrant that differences are to; empty without one.

    Raises:
        InputFileError: none of the samples can be read, nothing can be said about them, or a user's metric raises or
            returns no number.
    """
    skipped = {place: reason for entrant in entrants for place, reason in entrant.skipped.items()}
    count = len(chosen.samples)
    if len(skipped) == count:
        raise InputFileError(f"{chosen.samples.path}: none of {count} samples can be read; {skipped[min(skipped)]}")
    held = next((one for one in entrants if one.name == reference and one.tables), None)
    first = entrants[-1].subject
    prepared = first.preprocessing
    why = f" (by default: {prepared.why})" if prepared.why else ""
    return Accuracy(
        metric=chosen.metric.title,
        percent=chosen.metric.needs is not None,
        data=chosen.origin,
        samples=count,
        skipped=len(skipped),
        preprocessing=f"{prepared.name}{why}",
        reference=held.title if held else "",
        notes=(*first.judge.notes, *_skipped(skipped, count), *_calibrated(chosen, entrants)),
        rows=tuple(_row(entrant, held) for entrant in entrants),
    )


def _row(entrant: Entrant, reference: Entrant | None) -> AccuracyRow:
    variant = entrant.runtime.variant
    if entrant.subject.prepared is not None and not _is_float(entrant):
        variant = variant.replace("FP32", "quantised model")
    facts = (entrant.name, entrant.title, variant)
    if entrant.status != "ok":
        return AccuracyRow(*facts, entrant.status, entrant.message)
    if not entrant.tables:
        return AccuracyRow(*facts, "failed", "stopped before it was judged")
    places = sorted(entrant.tables)
    scores = entrant.subject.judge.score([entrant.tables[place] for place in places], places)
    values = tuple(_value(name, score) for name, score in scores.items())
    row = AccuracyRow(*facts, "ok", samples=len(places), values=values)
    shared = sorted(entrant.tables.keys() & reference.tables.keys()) if reference else []
    if reference is None or reference is entrant or not shared:
        return row
    ours, theirs = ([one.tables[place] for place in shared] for one in (entrant, reference))
    difference = entrant.subject.judge.difference(ours, theirs, shared)
    if not math.isfinite(difference.value):  # nothing is shown in the samples that both could judge
        return row
    value = AccuracyValue(values[0].name, difference.value, *_edges(difference))
    return AccuracyRow(*facts, "ok", "", len(places), values, value, difference.chance)


def _value(name: str, score: Score) -> AccuracyValue:
    if not math.isfinite(score.value):
        raise InputFileError(f"{name} says nothing about these samples: they show no object of any class")
    return AccuracyValue(name, score.value, *_edges(score))


def _edges(found: Score | Difference) -> tuple[float, float]:
    """The interval; the value itself where no resample says anything."""
    low, high = (edge if math.isfinite(edge) else found.value for edge in found.interval)
    return low, high


def _skipped(skipped: dict[int, str], count: int) -> tuple[str, ...]:
    if not skipped:
        return ()
    return (f"{len(skipped)} of {count} samples cannot be read and were left out, such as {skipped[min(skipped)]}",)


def _is_float(entrant: Entrant) -> bool:
    """Whether the model itself is not quantised, so that a runtime in INT8 has to do that."""
    prepared = entrant.subject.prepared
    return prepared is not None and not prepared.quantized


def _calibrated(chosen: Chosen, entrants: Sequence[Entrant]) -> tuple[str, ...]:
    """What INT8 runtimes were calibrated on, where some took part."""
    if not any(entrant.runtime.quantized and entrant.tables and _is_float(entrant) for entrant in entrants):
        return ()
    shared = set(chosen.calibration.names) & set(chosen.samples.names)
    which = "of those evaluated" if shared else "none of those evaluated"
    return (f"INT8 runtimes were calibrated on {len(chosen.calibration)} samples of the set, {which}",)
