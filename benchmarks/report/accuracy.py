"""The accuracy of each runtime as text, the same in every form of output."""

from __future__ import annotations

from collections.abc import Iterator

from tvmopt.benchmarks.measurements.accuracy import Accuracy, AccuracyRow, AccuracyValue

_ABSENT = "–"


def accuracy_heads(accuracy: Accuracy) -> tuple[str, ...]:
    """The heads of the table."""
    names = _names(accuracy)
    columns = [head for name in names for head in (_head(name, accuracy), "95 % interval")]
    difference = (f"over {accuracy.reference}", "95 % interval") if accuracy.reference else ()
    return ("runtime", *columns, *difference, *(("p",) if _tested(accuracy) else ()), "samples")


def accuracy_lines(accuracy: Accuracy) -> Iterator[tuple[tuple[str, ...], bool]]:
    """The cells of each row that was judged, and whether it is worse than the reference beyond chance."""
    names = _names(accuracy)
    for row in accuracy.rows:
        if row.status != "ok":
            continue
        values = {value.name: value for value in row.values}
        cells = [cell for name in names for cell in _cells(values.get(name), accuracy.percent)]
        if accuracy.reference:
            cells += _cells(row.difference, accuracy.percent, signed=True)
        cells += [_chance(row.chance)] if _tested(accuracy) else []
        yield (row.title, *cells, f"{row.samples:,}"), row.loses


def accuracy_head(accuracy: Accuracy) -> str:
    """The head of a column of `accuracy_cell`."""
    head = _head(accuracy.metric, accuracy)
    return f"{head} (over {accuracy.reference})" if accuracy.reference else head


def accuracy_cell(row: AccuracyRow | None, percent: bool) -> str:
    """The metric of a row with its difference, for a table of speeds; a dash without one."""
    if row is None or not row.values:
        return _ABSENT
    value = _number(row.values[0].value, percent)
    if row.difference is None:
        return value
    return f"{value} ({_number(row.difference.value, percent, signed=True)})"


def absent_rows(accuracy: Accuracy) -> list[str]:
    """The runtimes that were not judged, and why; one line each."""
    return [f"{row.title}: {row.message or row.status}" for row in accuracy.rows if row.status != "ok"]


def accuracy_notes(accuracy: Accuracy) -> list[str]:
    """What was evaluated, and what a reader must know to judge the numbers; one line each."""
    notes = [f"Pictures were prepared as {accuracy.preprocessing}."] if accuracy.preprocessing else []
    notes += [f"{note[0].upper()}{note[1:]}." for note in accuracy.notes]
    if accuracy.reference:
        how = "paired: on the same samples" + (", p by McNemar's exact test" if _tested(accuracy) else "")
        notes.append(f"Differences to {accuracy.reference} are {how}; they count where the interval leaves out 0.")
    return notes


def _names(accuracy: Accuracy) -> list[str]:
    """The names of all values, in order."""
    return list(dict.fromkeys(value.name for row in accuracy.rows for value in row.values)) or [accuracy.metric]


def _head(name: str, accuracy: Accuracy) -> str:
    return f"{name} %" if accuracy.percent else name


def _cells(value: AccuracyValue | None, percent: bool, signed: bool = False) -> tuple[str, str]:
    if value is None:
        return _ABSENT, _ABSENT
    low, high = (_number(edge, percent, signed) for edge in (value.low, value.high))
    return _number(value.value, percent, signed), f"{low} to {high}" if signed else f"{low}–{high}"


def _number(value: float, percent: bool, signed: bool = False) -> str:
    shown = f"{100 * value:{'+' if signed else ''}.2f}" if percent else f"{value:{'+' if signed else ''}.4g}"
    return shown.lstrip("+-") if not float(shown) else shown.replace("-", "−")


def _tested(accuracy: Accuracy) -> bool:
    """Whether a test says how likely the differences are."""
    return any(row.chance is not None for row in accuracy.rows)


def _chance(value: float | None) -> str:
    if value is None:
        return _ABSENT
    return "<0.001" if value < 0.001 else f"{value:.3f}"
