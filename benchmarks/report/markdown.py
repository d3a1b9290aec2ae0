"""The report as Markdown that fits an issue or a wiki."""

from __future__ import annotations

from collections.abc import Sequence

from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.layer_losses import find_losses, losses_in_markdown
from tvmopt.benchmarks.report.machines import Machine, group_by_machine, unlike_warning
from tvmopt.benchmarks.report.overview import MOST, SWEEP, view_overview, view_sweep
from tvmopt.benchmarks.report.protocol import view_protocol
from tvmopt.benchmarks.report.searches import HEADS, view_searches
from tvmopt.benchmarks.report.tables import escape, markdown_table
from tvmopt.benchmarks.report.view import (
    CellView,
    RowView,
    baseline_of,
    title_of,
    view_cells,
    view_environment,
    view_notes,
    view_runtimes,
)


def render_markdown(comparisons: Sequence[Comparison]) -> str:
    """The report over all `comparisons`, which may come from several machines."""
    machines = group_by_machine(comparisons)
    parts = []
    warning = unlike_warning(machines)
    if warning:
        parts.append(f"> **Different machines.** {escape(warning)}")
    for machine in machines:
        if warning:
            parts.append(f"# {escape(machine.label)}")
        parts += _machine(machine)
    return "\n\n".join(parts) + "\n"


def _machine(machine: Machine) -> list[str]:
    parts = []
    if len(machine.comparisons) > 1:
        overview = view_overview(machine.comparisons)
        parts += ["## Overview: median latency in ms"]
        parts.append(markdown_table(("", *overview.columns), [(what, *medians) for what, medians in overview.lines]))
        if machine.software:
            parts.append(f"These runs differ in software: {escape(', '.join(machine.software))}.")
    for comparison in machine.comparisons:
        parts += _comparison(comparison)
    environment = markdown_table(("", ""), view_environment(machine.comparisons[0].environment))
    parts.append(f"<details><summary>Machine</summary>\n\n{environment}\n\n</details>")
    return parts


def _comparison(comparison: Comparison) -> list[str]:
    model = comparison.model
    parts = [f"## {escape(model['name'])}", f"Measured {escape(comparison.created)} on {escape(model['input_data'])}."]
    parts += [f"**Note.** {escape(note)}" for note in view_notes(comparison)]
    for cell in view_cells(comparison):
        parts += _cell(cell, title_of(baseline_of(comparison)))
    sweep = view_sweep(comparison)
    if sweep:
        heads = ("runtime", *sweep.columns, MOST)
        parts += [f"### {SWEEP}", markdown_table(heads, [(what, *items, most) for what, items, most in sweep.lines])]
    for searches in view_searches(comparison):
        parts += [f"### The parameters that the search found: {searches.where}", markdown_table(HEADS, searches.lines)]
    for table in comparison.layers:
        parts += [
            f"### Layer by layer: {words.where(table.batch, table.threads)}",
            *losses_in_markdown(find_losses(table)),
        ]
    runtimes = [
        (view.title, view.variant, view.versions, "; ".join(f"{name}: {value}" for name, value in view.settings))
        for view in view_runtimes(comparison)
    ]
    settings = markdown_table(("runtime", "variant", "versions", "settings"), runtimes)
    body = f"{escape(view_protocol(comparison))}\n\n{settings}"
    return [*parts, f"<details><summary>How it was measured</summary>\n\n{body}\n\n</details>"]


def _cell(cell: CellView, baseline: str) -> list[str]:
    parts = [f"### {escape(cell.heading.capitalize())}", escape(cell.finding)]
    if cell.rows:
        heads = ("runtime", "variant", "median ms", "95 % interval", "p99 ms", "FPS", f"over {baseline}")
        ours = [f"{cell.ours} over it"] if cell.ours else []
        lines = [_row(row, cell) for row in cell.rows]
        judged = [cell.metric] if cell.metric else []
        parts.append(markdown_table((*heads, *ours, *judged, "error", "memory MiB"), lines))
    if cell.absent:
        parts.append("\n".join(f"- {escape(a.title)}: {escape(a.message)}" for a in cell.absent))
    return parts


def _row(row: RowView, cell: CellView) -> tuple[str, ...]:
    speedup = f"{row.speedup} ({row.verdict})" if row.verdict else row.speedup
    held = [f"{row.ours} ({row.ours_verdict})" if row.ours_verdict else row.ours] if cell.ours else []
    held += [row.accuracy] if cell.metric else []
    numbers = (row.median_ms, row.interval_ms, row.p99_ms, row.fps, speedup, *held, row.error, row.memory_mib)
    return (row.title, row.variant, *numbers)
