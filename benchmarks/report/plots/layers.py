"""The plots of a layer table: the heaviest layers in every runtime, the roofline, the shares of operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.layer_rows import LayerRow, make_rows, ours_of
from tvmopt.benchmarks.report.layer_view import NOTABLE_RATIO, signed_ms
from tvmopt.benchmarks.report.plots.drawing import FAINT, INK, SOFT, Plot, color_of, draw_plot, make_figure, plain_frame
from tvmopt.benchmarks.report.plots.roofline import draw_roofline
from tvmopt.benchmarks.report.view import title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEAVIEST = 10
"""Number of layers with bars."""

NO_LAYER, OUTSIDE = "in no layer", "outside of kernels"
_PALETTE = ("#2f6690", "#d9a441", "#3a8f85", "#8c7aa9", "#6f9e4f", "#b0617a", "#9dbcd4")
_REST, _OVERHEAD = "#9aa5b1", ("#c3cad3", "#e3e7ec")
_GOOD, _BAD = "#23704f", "#a33a2a"
_BAR_IN, _GAP_IN = 0.125, 0.13
_NAME_LENGTH = 34


def draw_layer_plots(table: LayerTable, salt: str) -> list[Plot]:
    """Bars, roofline and pie of one table; those without data are left out.

    Args:
        table: the table to draw.
        salt: distinguishes the table from others on the page.

    Raises:
        RuntimeMissingError: when matplotlib is not installed.
    """
    rows, ours = make_rows(table), ours_of(table)
    if not rows:
        return []
    colors, subject = _kind_colors(table, rows), title_of(ours)
    bars = draw_plot(
        "The heaviest layers",
        "Time in ms in every runtime; next to ours, its difference from the best of the others.",
        salt,
        partial(_draw_bars, table, rows),
    )
    roofline = draw_plot(
        f"Roofline of {subject}",
        "Operations a second over operations per byte moved, with the roofs measured on this machine at the same "
        "thread count. The larger a point, the more time its layers take. Points above the peak are algorithms that "
        "need fewer operations than the layer's definition.",
        salt,
        partial(draw_roofline, table, rows, colors),
    )
    pie = draw_plot(
        f"Where the time of {subject} goes",
        "Share of a run by kind of operator; a kernel counts as its heaviest layer's operator.",
        salt,
        partial(_draw_pie, table, rows, colors),
    )
    return [plot for plot in (bars, roofline, pie) if plot is not None]


def _draw_bars(table: LayerTable, rows: Sequence[LayerRow]) -> Figure:
    """A group of bars for each of the slowest rows, heaviest on top."""
    names = sorted(table.profiles, key=lambda name: name != ours_of(table))

    def weight(row: LayerRow) -> float:
        return row.seconds[row.ours] if row.ours else max(row.seconds.values())

    heaviest = sorted(rows, key=weight, reverse=True)[:HEAVIEST]
    step = len(names) * _BAR_IN + _GAP_IN
    figure, (place,) = make_figure(1, 1, len(heaviest) * step + 0.75)
    middles = [index * step + (len(names) - 1) * _BAR_IN / 2 for index in range(len(heaviest))]
    for number, name in enumerate(names):
        positions = [index * step + number * _BAR_IN for index in range(len(heaviest))]
        values = [row.seconds[name] * 1e3 for row in heaviest]
        place.barh(positions, values, height=_BAR_IN * 0.86, color=color_of(name), label=title_of(name))
    for index, row in enumerate(heaviest):
        if row.difference_s is not None and row.ours_s is not None:
            place.annotate(
                signed_ms(row.difference_s),
                (row.ours_s * 1e3, index * step),
                (4, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
                color=_difference_color(row),
            )
    place.set_yticks(middles, [words.short(row.layers[0], _NAME_LENGTH) for row in heaviest])
    place.set_ylim((len(heaviest) - 1) * step + len(names) * _BAR_IN, -_BAR_IN)
    place.set_xlim(0, (max(max(row.seconds.values()) for row in heaviest) or 1e-3) * 1.1e3)
    place.tick_params(axis="y", length=0)
    place.set_xlabel("ms")
    place.grid(axis="x", color=FAINT, lw=0.6)
    place.set_axisbelow(True)
    plain_frame(place)
    place.tick_params(axis="y", labelsize=8)
    handles, labels = place.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def _difference_color(row: LayerRow) -> str:
    ratio = row.ratio
    if ratio is None:
        return _BAD
    return _BAD if ratio >= NOTABLE_RATIO else _GOOD if ratio <= 1 / NOTABLE_RATIO else SOFT


def _draw_pie(table: LayerTable, rows: Sequence[LayerRow], colors: Mapping[str, str]) -> Figure | None:
    """Slices clockwise from the top, layers first; a legend beside them with shares and times."""
    shares = [(kind, seconds) for kind, seconds in _shares(table, rows).items() if seconds > 0]
    if not shares:
        return None
    total = sum(seconds for _, seconds in shares)
    figure, (place,) = make_figure(1, 1, max(2.3, 0.2 * len(shares) + 0.4))
    wedges = place.pie(
        [seconds for _, seconds in shares],
        colors=[colors[kind] for kind, _ in shares],
        startangle=90,
        counterclock=False,
        radius=1.15,
        wedgeprops={"linewidth": 1.2, "edgecolor": "white"},
    )[0]
    labels = [
        f"{words.short(kind, _NAME_LENGTH)}  {seconds / total * 100:.1f} %  ({words.milliseconds(seconds)} ms)"
        for kind, seconds in shares
    ]
    place.legend(wedges, labels, loc="center left", bbox_to_anchor=(1.12, 0.5), frameon=False, labelcolor=INK)
    return figure


def _shares(table: LayerTable, rows: Sequence[LayerRow]) -> dict[str, float]:
    """Our seconds by kind of operator, largest first; then the time in no layer and outside kernels."""
    ours = ours_of(table)
    if not ours:
        return {}
    profile, seconds = table.profiles[ours], dict[str, float]()
    for row in rows:
        kind = row.operator or "unknown"
        seconds[kind] = seconds.get(kind, 0.0) + row.seconds[ours]
    ordered = dict(sorted(seconds.items(), key=lambda pair: -pair[1]))
    in_rows = sum(ordered.values())
    return ordered | {NO_LAYER: max(0.0, profile.kernels_s - in_rows), OUTSIDE: profile.outside_s}


def _kind_colors(table: LayerTable, rows: Sequence[LayerRow]) -> dict[str, str]:
    """A color for each kind of operator, the same in all plots; only the heaviest kinds have distinct colors."""
    kinds = [kind for kind in _shares(table, rows) if kind not in (NO_LAYER, OUTSIDE)]
    own = dict(zip(kinds, _PALETTE, strict=False))
    return dict.fromkeys(kinds, _REST) | own | dict(zip((NO_LAYER, OUTSIDE), _OVERHEAD, strict=True))
