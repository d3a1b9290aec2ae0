"""The output of `tvmopt profile`, as tables and lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import RenderableType

from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.layer_profile import BY_OPERATOR, LayerProfile
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.report.layer_rows import LayerRow, make_rows, ours_of
from tvmopt.benchmarks.runtimes.registry import find_runtime
from tvmopt.cli.consoles import first_of
from tvmopt.cli.tables import Column, Table

OPERATORS = 8
"""How many operators of each runtime are shown unless the user says otherwise."""

NOTABLE = 0.1
"""The smallest share of a run that is worth mentioning."""


def parts(table: LayerTable, document: Mapping[str, Any], top: int | None) -> Iterator[RenderableType]:
    """All parts of the output, in order.

    Args:
        table: the profiles.
        document: the document that they came in, for its model and notes.
        top: the number of slowest layers to show; all when None.
    """
    threads = f"{table.threads} thread{'s' if table.threads > 1 else ''}"
    yield f"{document['model']['name']}, batch {table.batch}, {threads}"
    if table.roofline:
        yield roofline_line(table.roofline)
    ours = ours_of(table)
    if ours:
        yield "\n" + title(ours) + ", in order of execution"
        yield own_table(table, ours, top)
    if len(table.profiles) > 1:
        yield "\nAll runtimes, µs; layers that some runtime fuses share a row"
        yield runtimes_table(table, ours, top)
    if table.all_profiles:
        yield "\nOperators, the longest of each runtime, by its own profiler"
        yield operators_table(table, ours, top or OPERATORS)
    yield "\nWhole runs"
    yield account_table(table)
    yield from (f"{title(name)}: {line}" for name, line in _remarks(table, document["notes"]))


def title(runtime: str) -> str:
    """The runtime's name in tables; just ``tvmopt`` for ours, since an artifact may be untuned."""
    return "tvmopt" if runtime == "tvmopt" else find_runtime(runtime).title


def roofline_line(roofline: Roofline) -> str:
    """The machine's measured peak and bandwidths."""
    levels = ", ".join(f"{rate / 1e9:.0f} GB/s in {_size(size)}" for size, rate in roofline.bandwidth)
    integers = f", {roofline.peak_iops / 1e9:.0f} GIOP/s in bytes" if roofline.peak_iops else ""
    return f"measured roofline: {roofline.peak_flops / 1e9:.0f} GFLOP/s{integers}; {levels}"


def own_table(table: LayerTable, ours: str, top: int | None) -> Table:
    """Our kernels: layers, algorithm, precision, time, operations, bytes, speed, share of the roofline, config."""
    profile = table.profiles[ours]
    rows = make_rows(replace(table, entries={ours: profile}))
    integers = any(row.integer_ops for row in rows)
    shown = _longest(rows, top, lambda row: row.seconds[ours])
    grid = Table(
        Column("layers", least=16),
        Column("algorithm", least=10),
        Column("precision", rank=1),
        Column("µs", number=True),
        Column("share", number=True),
        Column("GFLOP", number=True, rank=2),
        *([Column("GIOP", number=True, rank=2)] if integers else []),
        Column("KiB moved", number=True, rank=2),
        Column("Gop/s" if integers else "GFLOP/s", number=True),
        Column("of roofline", number=True),
        Column("config", below=True),
    )
    for row in shown:
        seconds = row.seconds[ours]
        speed = f"{row.operations / seconds / 1e9:.1f}" if row.operations and seconds else ""
        counts = (_giga(row.flops), *([_giga(row.integer_ops)] if integers else []), f"{row.nbytes / 2**10:,.1f}")
        roofline = "" if row.roofline_share is None else f"{row.roofline_share:.0%}"
        kinds = "+".join(dict.fromkeys(kernel.kind for kernel in row.kernels))
        details = "; ".join(dict.fromkeys(kernel.detail for kernel in row.kernels))
        share = f"{seconds / profile.whole_s:.1%}"
        grid.add(", ".join(row.layers), kinds, row.precision, _us(seconds), share, *counts, speed, roofline, details)
    return grid


def runtimes_table(table: LayerTable, ours: str, top: int | None) -> Table:
    """One row per group of layers, one column per runtime, and the time of ours (or the first) beyond the best."""
    names = list(table.profiles)
    first = ours or names[0]
    rows = make_rows(table)
    shown = _longest(rows, top, lambda row: max(row.seconds.values()))
    grid = Table(
        Column("layers", least=16),
        Column("operator", least=10, rank=len(names) + 1),
        # Our column always stays; of the others, the rightmost is dropped first.
        *(Column(title(name), number=True, rank=0 if name == first else place) for place, name in enumerate(names, 1)),
        Column("best", least=10),
        Column(f"{title(first)} − best", number=True),
    )
    for row in shown:
        best = min(names, key=lambda name: row.seconds[name])
        difference = row.seconds[first] - row.seconds[best]
        times = (_us(row.seconds[name]) for name in names)
        grid.add(first_of(row.layers), row.operator, *times, title(best), _us(difference))
    sums = {name: sum(row.seconds[name] for row in rows) for name in names}
    best = min(names, key=lambda name: sums[name])
    grid.add("all layers", "", *map(_us, sums.values()), title(best), _us(sums[first] - sums[best]), style="bold")
    return grid


def operators_table(table: LayerTable, ours: str, top: int) -> Table:
    """The `top` operators that take longest in each runtime, ours first: calls in a run, time, share of its kernels."""
    grid = Table(
        Column("runtime", least=12),
        Column("operator", least=16),
        Column("calls", number=True),
        Column("µs", number=True),
        Column("share", number=True),
    )
    for name in sorted(table.all_profiles, key=lambda name: name != ours):
        operators = table.all_profiles[name].operators
        whole_s = sum(operator.seconds for operator in operators) or 1.0
        for operator in operators[:top]:
            share = f"{operator.seconds / whole_s:.1%}"
            grid.add(title(name), operator.name, f"{operator.calls:,}", _us(operator.seconds), share)
        rest = operators[top:]
        if rest:
            rest_s = sum(operator.seconds for operator in rest)
            calls = f"{sum(operator.calls for operator in rest):,}"
            grid.add(title(name), f"{len(rest)} others", calls, _us(rest_s), f"{rest_s / whole_s:.1%}", style="dim")
    return grid


def account_table(table: LayerTable) -> Table:
    """Whether kernels add up to whole runs, the share of their time mapped to layers, and the time outside kernels."""
    heads = ("whole run µs", "kernels µs", "kernels / whole", "mapped to layers", "outside µs")
    grid = Table(Column("runtime", least=16), *(Column(head, number=True) for head in heads))
    for name, profile in table.all_profiles.items():
        times = (_us(profile.whole_s), _us(profile.kernels_s), f"{profile.sum_over_whole:.1%}")
        grid.add(title(name), *times, f"{profile.mapped:.1%}", _us(profile.outside_s))
    return grid


def _remarks(table: LayerTable, notes: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Further remarks on each runtime."""
    for name, profile in table.all_profiles.items():
        if name in notes:
            yield name, notes[name]
        if not profile.by_layer:
            yield name, BY_OPERATOR
        finding = describe_outside(profile)
        if finding:
            yield name, finding
    for name, entry in table.absent.items():
        yield name, entry.message


def describe_outside(profile: LayerProfile) -> str:
    """A sentence on how far the kernels' times differ from a whole run; empty when they agree."""
    share = profile.sum_over_whole
    if share < 1 - NOTABLE:
        return (
            f"{1 - share:.0%} of a run ({_us(profile.outside_s)} µs) is outside the layers: "
            "data ingestion, dispatch, allocation, copies"
        )
    if share > 1 + NOTABLE:
        return (
            f"the kernels take {share - 1:.0%} longer under the profiler than a whole run without it; "
            "their times are upper bounds"
        )
    return ""


def _longest(rows: Sequence[LayerRow], top: int | None, seconds: Any) -> Sequence[LayerRow]:
    """The `top` slowest rows, in the order of execution; all when `top` is None."""
    if top is None:
        return rows
    chosen = {row.layers for row in sorted(rows, key=seconds, reverse=True)[:top]}
    return [row for row in rows if row.layers in chosen]


def _giga(operations: int) -> str:
    return f"{operations / 1e9:.4f}" if operations else ""


def _us(seconds: float) -> str:
    """Microseconds, with one decimal below 100."""
    return f"{seconds * 1e6:.1f}" if abs(seconds) < 1e-4 else f"{seconds * 1e6:,.0f}"


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**20:.0f} MiB" if nbytes >= 2**20 else f"{nbytes / 2**10:.0f} KiB"
