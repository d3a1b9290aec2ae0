"""The contents of a layer table in a report, as text with numeric sort keys, for every output format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.measurements.layer_profile import BY_OPERATOR, LayerProfile
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.layer_rows import LayerRow, make_rows, most_lost_to_peer, ours_of, peers_of
from tvmopt.benchmarks.report.view import AbsentView, title_of
from tvmopt.pipeline.types import TensorSpec

NOTABLE_RATIO = 1.05
"""Minimum ratio of two kernels' times that is colored; profilers are no more precise."""


@dataclass(frozen=True, slots=True)
class Item:
    """A number in a table.

    Attributes:
        text: the displayed text.
        key: the sort key; missing numbers come last.
        style: ``faster`` and ``slower`` are colored.
    """

    text: str
    key: float | None = None
    style: str = ""


@dataclass(frozen=True, slots=True)
class LayerRowView:
    """One row.

    Attributes:
        name: the first layer's name.
        layers: the names of all layers.
        operator: the heaviest layer's operator.
        output: shape of the last layer's output.
        items: the numbers, one for each of the table's heads.
        kernels: algorithm and config of each of our kernels.
    """

    name: str
    layers: tuple[str, ...]
    operator: str
    output: str
    items: tuple[Item, ...]
    kernels: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class AccountView:
    """The time of one runtime inside and outside layers."""

    name: str
    title: str
    whole_ms: str
    layers_ms: str
    no_layer_ms: str
    outside_ms: str
    share: str


@dataclass(frozen=True, slots=True)
class LayerTableView:
    """One batch size and thread count, layer by layer.

    Attributes:
        heading: batch size and thread count.
        finding: where ours loses, in a sentence or two.
        heads: heads of the numbers, each in two lines.
        rows: in the model's order.
        accounts: one line per runtime.
        absent: runtimes without a profile, and the reasons.
        ours: our runtime's title; empty when it has no profile.
    """

    heading: str
    finding: str
    heads: tuple[tuple[str, str], ...]
    rows: tuple[LayerRowView, ...]
    accounts: tuple[AccountView, ...]
    absent: tuple[AbsentView, ...]
    ours: str


def view_layers(table: LayerTable) -> LayerTableView:
    """The view of `table`."""
    ours, rows = ours_of(table), make_rows(table)
    names = sorted(table.profiles, key=lambda name: name != ours)
    heads = [("Precision", ""), ("GFLOP", ""), *([("GIOP", "")] if _has_integers(rows) else []), ("Parameters", "")]
    heads += [("MB", "moved"), ("Operations" if _has_integers(rows) else "FLOP", "per byte")]
    heads += [(title_of(name), "ms") for name in names]
    if ours and peers_of(table):
        heads += [("Over best", "ms"), ("Over", "best")]
    if ours and table.roofline:
        heads += [("Of the", "roofline")]
    return LayerTableView(
        heading=words.where(table.batch, table.threads),
        finding=_finding(table, rows),
        heads=tuple(heads),
        rows=tuple(_row(row, names, table, _has_integers(rows)) for row in rows),
        accounts=tuple(_account(name, table.profiles[name]) for name in names),
        absent=(
            *(AbsentView(title_of(name), gap.message or gap.status) for name, gap in table.absent.items()),
            *(AbsentView(title_of(name), BY_OPERATOR) for name in table.all_profiles if name not in table.profiles),
        ),
        ours=title_of(ours) if ours else "",
    )


def shapes(specs: Sequence[TensorSpec]) -> str:
    """``1×64×56×56, 64×64×3×3``."""
    return ", ".join("×".join(map(str, spec.shape)) or "scalar" for spec in specs)


def kernels_of(row: LayerRow) -> tuple[tuple[str, str], ...]:
    """Algorithms and configs of our kernels, each pair once."""
    return tuple(dict.fromkeys((kernel.kind, kernel.detail) for kernel in row.kernels))


def signed_ms(seconds: float) -> str:
    """A difference in ms with its sign: ``+0.12``."""
    text = f"{seconds * 1e3:+.3f}"
    return text.replace("-", "−") if float(text) else "0"


def _has_integers(rows: Sequence[LayerRow]) -> bool:
    return any(row.integer_ops for row in rows)


def _row(row: LayerRow, names: Sequence[str], table: LayerTable, integers: bool) -> LayerRowView:
    items = [
        Item(row.precision or "–"),
        _number(row.flops / 1e9 or None),
        *([_number(row.integer_ops / 1e9 or None)] if integers else []),
        Item(f"{row.parameters:,}", row.parameters) if row.parameters else Item("–"),
        _number(row.nbytes / 1e6 if row.nbytes else None),
        _number(row.intensity or None),
        *(_number(row.seconds[name] * 1e3 or None) for name in names),
    ]
    if row.ours and peers_of(table):
        style = _style(row)
        difference, ratio = row.difference_s, row.ratio
        items.append(Item("–") if difference is None else Item(signed_ms(difference), difference, style))
        items.append(Item("–") if ratio is None else Item(f"{ratio:.2f}×", ratio, style))
    if row.ours and table.roofline:
        share = row.roofline_share
        items.append(Item("–") if not share else Item(f"{share:.0%}".replace("%", " %"), share))
    return LayerRowView(row.layers[0], row.layers, row.operator, shapes(row.outputs), tuple(items), kernels_of(row))


def _number(value: float | None) -> Item:
    return Item("–") if value is None else Item(words.significant(value), value)


def _style(row: LayerRow) -> str:
    if row.ratio is None:
        return "slower" if row.difference_s else ""
    if row.ratio >= NOTABLE_RATIO:
        return "slower"
    return "faster" if row.ratio <= 1 / NOTABLE_RATIO else ""


def _account(name: str, profile: LayerProfile) -> AccountView:
    in_layers = profile.mapped * profile.kernels_s
    return AccountView(
        name=name,
        title=title_of(name),
        whole_ms=words.milliseconds(profile.whole_s),
        layers_ms=words.milliseconds(in_layers),
        no_layer_ms=words.milliseconds(max(0.0, profile.kernels_s - in_layers)),
        outside_ms=words.milliseconds(profile.outside_s),
        share=f"{profile.sum_over_whole * 100:.0f} %",
    )


def _finding(table: LayerTable, rows: Sequence[LayerRow]) -> str:
    """Where ours loses, or why that is unknown."""
    ours = ours_of(table)
    if not ours:
        return "No profile of tvmopt: the runtimes are shown side by side."
    start = f"{title_of(ours)}'s kernels take {words.milliseconds(table.profiles[ours].kernels_s)} ms"
    losses = most_lost_to_peer(rows, len(rows))
    if not any(row.peer for row in rows):
        return f"{start}; no other runtime was profiled."
    if not losses:
        return f"{start}; it is the quickest in every row."
    lost = sum(row.difference_s or 0.0 for row in losses)
    worst = losses[0]
    return (
        f"{start}. Against the best runtime of each row it loses {words.milliseconds(lost)} ms in {len(losses)} of "
        f"{len(rows)} rows, most in {worst.layers[0]}: {signed_ms(worst.difference_s or 0.0)} ms over "
        f"{title_of(worst.peer)}."
    )
