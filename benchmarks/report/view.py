"""The contents of a comparison in a report, as text, for every output format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvmopt.benchmarks.measurements.types import Comparison, Measurement, Verdict
from tvmopt.benchmarks.measurements.verdicts import OURS
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.accuracy import accuracy_cell, accuracy_head, accuracy_notes
from tvmopt.benchmarks.report.protocol import view_method
from tvmopt.benchmarks.runtimes.registry import known_runtime


@dataclass(frozen=True, slots=True)
class RowView:
    """One measured runtime in one cell, as text."""

    name: str
    title: str
    variant: str
    status: str
    median_ms: str
    interval_ms: str
    p90_ms: str
    p99_ms: str
    fps: str
    speedup: str
    speedup_interval: str
    verdict: str
    ours: str
    ours_interval: str
    ours_verdict: str
    error: str
    memory_mib: str
    accuracy: str


@dataclass(frozen=True, slots=True)
class AbsentView:
    """A runtime without a valid row in one cell, and the reason."""

    title: str
    message: str


@dataclass(frozen=True, slots=True)
class StartView:
    """The time to get one runtime ready."""

    title: str
    prepare: str
    import_library: str
    load: str
    first_run: str


@dataclass(frozen=True, slots=True)
class CellView:
    """One batch size and thread count.

    Attributes:
        heading: batch size and thread count.
        finding: the outcome in one sentence.
        ours: title of our runtime that the others are compared with; empty when none was measured.
        rows: the runtimes that were measured.
        absent: the others.
        metric: the head of the column of accuracies; empty where none were judged.
    """

    heading: str
    finding: str
    ours: str
    rows: tuple[RowView, ...]
    absent: tuple[AbsentView, ...]
    metric: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeView:
    """A runtime's description and settings."""

    title: str
    variant: str
    about: str
    versions: str
    settings: tuple[tuple[str, str], ...]


def title_of(runtime: str) -> str:
    """The runtime's name in tables; its name on the command line if the registry does not know it."""
    known = known_runtime(runtime)
    return known.title if known else runtime


def baseline_of(comparison: Comparison) -> str:
    """Name of the runtime that speed-ups are over: the original framework, else the reference."""
    return str(comparison.model["reference"])


def view_cells(comparison: Comparison) -> list[CellView]:
    """All cells, in order."""
    return [_view_cell(comparison, batch, threads) for batch, threads in comparison.cells()]


def view_runtimes(comparison: Comparison) -> list[RuntimeView]:
    """The runtimes that were measured, each once, with the settings of its last row."""
    rows = {row.runtime: row for row in comparison.measurements if row.latency_s}
    return [_view_runtime(row, comparison.environment["packages"]) for row in rows.values()]


def view_notes(comparison: Comparison) -> list[str]:
    """Notes that a reader needs to judge the numbers."""
    model, notes = comparison.model, []
    if not comparison.complete:
        notes.append("The run was stopped early; the results shown were complete by then.")
    notes += [method] if (method := view_method(comparison)) else []
    if comparison.protocol.get("clock") == "processor":
        notes.append("Times are those of the processor, which threads that wait take, too.")
    load = max((float(cell["busy_cores"]) for cell in comparison.protocol.get("other_load", ())), default=0.0)
    if load >= NOTABLE_LOAD:
        notes.append(
            f"Other programs kept {load:.1f} cores busy during the measurement: expect wider intervals, and slower "
            "runtimes where threads wait for each other."
        )
    notes += _view_import(model)
    notes += _integer_notes(comparison)
    if comparison.accuracy:
        notes.append(f"Accuracy is {comparison.accuracy.metric} on {comparison.accuracy.data}.")
        notes += accuracy_notes(comparison.accuracy)
    return notes


def _integer_notes(comparison: Comparison) -> list[str]:
    """What the rows of INT8 were calibrated on, and which of them saturate, each once."""
    calibration, notes = comparison.model["calibration"], []
    made_here = [row for row in comparison.measurements if row.latency_s and "INT8" in row.variant]
    if calibration and any(row.settings.get("quantisation") != "the model's own" for row in made_here):
        notes.append(f"INT8 rows use a different precision from the rest. They were calibrated on {calibration}.")
    saturating = [row for row in comparison.measurements if "saturates" in row.settings]
    return [*notes, *dict.fromkeys(f"{title_of(row.runtime)} {row.settings['saturates']}." for row in saturating)]


def _view_import(model: Mapping[str, Any]) -> list[str]:
    """What the import was checked against, and why it was not, or why its framework is not the reference."""
    notes = [f"{model['reference_note']}."] if model["reference_note"] else []
    if model.get("checked_against"):
        notes.append(f"The import computes what {model['checked_against']} does.")
    if model.get("unchecked"):
        notes.append(f"The import was not checked: {model['unchecked']}.")
    return notes


NOTABLE_LOAD = 0.2
"""Minimum number of cores kept busy by other programs that a report mentions."""


def view_environment(environment: Mapping[str, object]) -> list[tuple[str, str]]:
    """The machine, as names and values."""
    get = environment.get
    caches, packages = get("caches_bytes"), get("packages")
    isa, load = get("isa"), get("load_average")
    rows = [
        ("Processor", f"{get('cpu')} ({get('architecture')})"),
        ("Cores", f"{get('cores')} cores, {get('threads')} threads" + (", virtual" if get("hypervisor") else "")),
        ("Instruction sets", ", ".join(map(str, isa)) if isinstance(isa, list) else ""),
        ("Caches", _pairs({k: words.size(v) for k, v in caches.items()}) if isinstance(caches, dict) else ""),
        ("Memory", f"{get('memory_gib')} GiB"),
        ("System", f"{get('os')}, {get('kernel')}"),
        ("Frequency governor", str(get("governor") or "not readable")),
        ("Load before the run", " / ".join(map(str, load)) + " (1, 5, 15 min)" if isinstance(load, list) else ""),
        ("Python", str(get("python"))),
        ("Packages", _pairs(packages) if isinstance(packages, dict) else ""),
    ]
    return [(name, value) for name, value in rows if value]


def view_start(comparison: Comparison) -> tuple[str, list[StartView]]:
    """The last cell's name, and the time to get ready in it."""
    batch, threads = comparison.cells()[-1]
    views = [
        StartView(
            title_of(row.runtime),
            *(words.duration(seconds) for seconds in (row.prepare_s, row.import_s, row.load_s, row.first_run_s)),
        )
        for row in comparison.rows(batch, threads)
        if row.latency_s
    ]
    return words.where(batch, threads), views


def _view_runtime(row: Measurement, packages: Mapping[str, str]) -> RuntimeView:
    known = known_runtime(row.runtime)
    versions = ", ".join(f"{p} {packages[p]}" for p in (known.packages if known else ()) if p in packages)
    about = known.about if known else ""
    return RuntimeView(title_of(row.runtime), row.variant, about, versions, tuple(row.settings.items()))


def _view_cell(comparison: Comparison, batch: int, threads: int) -> CellView:
    rows = comparison.rows(batch, threads)
    measured = {row.runtime for row in rows if row.status == "ok"}
    ours = next((name for name in OURS if name in measured), "")
    return CellView(
        words.where(batch, threads),
        _finding(comparison, batch, threads),
        title_of(ours) if ours else "",
        tuple(_view_row(row, comparison, ours) for row in rows if row.latency_s and row.status == "ok"),
        tuple(AbsentView(title_of(row.runtime), row.message or row.status) for row in rows if row.status != "ok"),
        accuracy_head(comparison.accuracy) if comparison.accuracy else "",
    )


def _view_row(row: Measurement, comparison: Comparison, ours: str) -> RowView:
    latency = row.latency_s
    assert latency is not None
    baseline = baseline_of(comparison)
    verdict = comparison.verdict(row.runtime, baseline, (row.batch, row.threads))
    held = comparison.verdict(ours, row.runtime, (row.batch, row.threads))
    judged = comparison.accuracy
    low, high = latency.interval
    return RowView(
        name=row.runtime,
        title=title_of(row.runtime),
        variant=row.variant,
        status=row.status,
        median_ms=words.milliseconds(latency.median),
        interval_ms=f"{words.milliseconds(low)}–{words.milliseconds(high)}",
        p90_ms=words.milliseconds(latency.p90),
        p99_ms=words.milliseconds(latency.p99),
        fps=words.significant(row.fps or 0.0),
        speedup=words.speedup(verdict) if verdict else "1×" if row.runtime == baseline else "–",
        speedup_interval=words.speedup_interval(verdict) if verdict else "",
        verdict=verdict.outcome if verdict else "baseline" if row.runtime == baseline else "",
        ours=words.speedup(held) if held else "–",
        ours_interval=words.speedup_interval(held) if held else "",
        ours_verdict=held.outcome if held else "",
        error=words.error(row.output_error.relative if row.output_error else None),
        memory_mib=words.mebibytes(row.peak_memory_bytes),
        accuracy=accuracy_cell(judged.row(row.runtime), judged.percent) if judged else "",
    )


def _finding(comparison: Comparison, batch: int, threads: int) -> str:
    """One sentence that compares ours (or else the fastest in FP32) with all others in the cell."""
    rows = {row.runtime: row for row in comparison.rows(batch, threads) if row.status == "ok"}
    ours = next((name for name in OURS if name in rows), None)
    if ours is None:
        plain = [row for row in rows.values() if row.latency_s and "INT8" not in row.variant]
        ours = min(plain, key=lambda row: row.latency_s.median if row.latency_s else 0.0).runtime if plain else None
    row = rows.get(ours or "")
    if row is None or row.latency_s is None:
        return "Nothing was measured."
    cell = (batch, threads)
    verdicts = [v for v in comparison.verdicts if v.runtime == ours and (v.batch, v.threads) == cell]
    start = f"{title_of(row.runtime)} takes {words.milliseconds(row.latency_s.median)} ms"
    if not verdicts:
        return f"{start}."
    ordered = sorted(verdicts, key=lambda verdict: verdict.ratio)
    relations = {"faster": "faster than", "no difference": "no different from", "slower": "slower than"}
    groups = [(words_of, _against(ordered, outcome)) for outcome, words_of in relations.items()]
    return f"{start}: {'; '.join(f'{relation} {others}' for relation, others in groups if others)}."


def _against(verdicts: Sequence[Verdict], outcome: str) -> str:
    """``ONNX Runtime (1.42×) and OpenVINO (1.31×)``: the runtimes with `outcome`."""
    named = [f"{title_of(v.against)} ({words.speedup(v)})" for v in verdicts if v.outcome == outcome]
    return words.listing(named) if named else ""


def _pairs(mapping: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in mapping.items())
