"""The output of `tvmopt compare` and `tvmopt report`: a table for each cell, machine by machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, RenderableType
from rich.text import Text

from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report.layer_losses import cells_of, find_losses, heads_of
from tvmopt.benchmarks.report.layer_rows import LayerRow
from tvmopt.benchmarks.report.machines import group_by_machine, unlike_warning
from tvmopt.benchmarks.report.overview import MOST, SWEEP, Sweep, view_sweep
from tvmopt.benchmarks.report.searches import HEADS, SearchesView, view_searches
from tvmopt.benchmarks.report.view import CellView, baseline_of, title_of, view_cells, view_notes
from tvmopt.benchmarks.report.words import where
from tvmopt.cli.consoles import first_of
from tvmopt.cli.tables import Column, Table, printable


def print_comparisons(comparisons: Sequence[Comparison], console: Console) -> None:
    """Prints the whole output."""
    for part in parts(comparisons):
        console.print(part)


def parts(comparisons: Sequence[Comparison]) -> Iterator[RenderableType]:
    """All parts of the output, in order."""
    machines = group_by_machine(comparisons)
    warning = unlike_warning(machines)
    if warning:
        yield _line(warning, "bold red")
    for machine in machines:
        yield _line(machine.label, "dim")
        for comparison in machine.comparisons:
            yield from _comparison(comparison)


def cell_table(cell: CellView, baseline: str) -> Table:
    """The measured rows of one cell."""
    table = Table(
        Column("runtime", least=18),
        Column("median ms", number=True),
        Column("95 % interval", number=True, rank=2),
        Column("FPS", number=True),
        Column(printable(f"over {baseline}"), number=True),
        *([Column(printable(cell.metric), number=True)] if cell.metric else []),
        Column("error", number=True, rank=1),
        Column("MiB", number=True, rank=3),
    )
    for row in cell.rows:
        judged = [row.accuracy] if cell.metric else []
        numbers = (row.median_ms, row.interval_ms, row.fps, row.speedup, *judged, row.error, row.memory_mib)
        table.add(row.title, *numbers, style="bold" if row.name.startswith("tvmopt") else "")
    return table


def sweep_table(sweep: Sweep) -> Table:
    """All cells of a comparison: a row for each runtime."""
    table = Table(
        Column("runtime", least=18),
        *(Column(where, number=True) for where in sweep.columns),
        Column(MOST, least=10),
    )
    for what, items, most in sweep.lines:
        table.add(what, *items, most)
    return table


def searches_table(searches: SearchesView) -> Table:
    """What the searches in one cell found."""
    runtime, parameters, gain, interval, tried = HEADS
    table = Table(
        Column(runtime, least=18),
        Column(parameters, least=20),
        Column(gain, number=True),
        Column(interval, number=True, rank=1),
        Column(tried, least=12, below=True),
    )
    for line in searches.lines:
        table.add(*line)
    return table


def losses_table(rows: Sequence[LayerRow]) -> Table:
    """The layers where our runtime loses most; `rows` are those of one kind of loss."""
    layer, shapes, precision, operations, moved, *numbers, config = heads_of(rows)
    table = Table(
        Column(layer, least=16),
        Column(shapes, least=20, rank=3),
        Column(precision, rank=1),
        Column(operations, number=True, rank=2),
        Column(moved, number=True, rank=2),
        *(Column(printable(name), number=name != "best peer", least=12 * (name == "best peer")) for name in numbers),
        Column(config, below=True),
    )
    for row in rows:
        table.add(first_of(row.layers), *cells_of(row)[1:])
    return table


def _comparison(comparison: Comparison) -> Iterator[RenderableType]:
    name = comparison.model["name"]
    for cell in view_cells(comparison):
        yield _line(f"{name}, {cell.heading}", "bold")
        yield cell_table(cell, title_of(baseline_of(comparison)))
        for absent in cell.absent:
            yield _line(f"  {absent.title}: {absent.message}", "dim")
        yield _line(cell.finding)
    sweep = view_sweep(comparison)
    if sweep:
        yield _line(f"{name}: {SWEEP[0].lower()}{SWEEP[1:]}", "bold")
        yield sweep_table(sweep)
    for searches in view_searches(comparison):
        yield _line(f"{name}, {searches.where}, the parameters that the search found", "bold")
        yield searches_table(searches)
    for table in comparison.layers:
        yield _line("")
        yield _line(f"{name}, {where(table.batch, table.threads)}, layer by layer", "bold")
        yield from _losses(table)
    for note in view_notes(comparison):
        yield _line(note, "dim")


def _losses(table: LayerTable) -> Iterator[RenderableType]:
    losses = find_losses(table)
    if not losses.ours:
        yield _line("No profile of tvmopt.\n")
        return
    for heading, rows in losses.sections():
        yield _line(f"{heading}:")
        yield losses_table(rows) if rows else _line("nowhere")
        yield _line("")


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style)
