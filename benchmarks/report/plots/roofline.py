"""The roofline plot: the machine's limits, and the layers of our runtime below them.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures", Communications of the ACM 52(4), 2009.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.layer_rows import LayerRow
from tvmopt.benchmarks.report.plots.drawing import FAINT, INK, SOFT, WIDTH_IN, make_figure, plain_frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tvmopt.benchmarks.machine.roofline import Roofline

LABELLED = 7
"""Number of labelled points."""

_HEIGHT_IN = 4.6
_SMALLEST, _LARGEST = 14.0, 320.0
_FEW_TICKS = 300.0
_NAME_LENGTH = 26
_CHAR_PT, _LINE_PT = 4.1, 9.0
# Candidate places of a label: the side of its point, and the offset in lines; the first free place is used.
_PLACES = tuple((side, lines) for lines in (0, 1, -1, 2, -2, 3, -3) for side in (1, -1))


@dataclass(frozen=True, slots=True)
class _Point:
    name: str
    kind: str
    intensity: float
    gflops: float
    seconds: float


def draw_roofline(table: LayerTable, rows: Sequence[LayerRow], colors: Mapping[str, str]) -> Figure | None:
    """The roofs and a point for each row that computes anything; nothing without a roofline or points.

    Args:
        table: the table with the roofline.
        rows: the table's rows.
        colors: colors by kind of operator.
    """
    points = [
        _Point(row.layers[0], row.operator or "unknown", row.intensity, row.flops / row.ours_s / 1e9, row.ours_s)
        for row in rows
        if row.flops and row.ours_s and row.intensity
    ]
    if table.roofline is None or not points:
        return None
    figure, (place,) = make_figure(1, 1, _HEIGHT_IN)
    place.set_xscale("log")
    place.set_yscale("log")
    _frame(place, points, table.roofline)
    _draw_roofs(place, table.roofline)
    _draw_points(place, points, colors)
    _label(place, sorted(points, key=lambda point: -point.seconds)[:LABELLED], table.roofline.peak_flops / 1e9)
    handles, labels = place.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6, frameon=False, fontsize=8.5)
    return figure


def _frame(place: Axes, points: Sequence[_Point], roofline: Roofline) -> None:
    """Axis limits that include all points and the ridge, where the roofs of memory and computing meet."""
    from matplotlib.ticker import LogLocator

    peak = roofline.peak_flops / 1e9
    ridge = roofline.peak_flops / min(rate for _, rate in roofline.bandwidth)
    xs, ys = [point.intensity for point in points], [point.gflops for point in points]
    # The points' labels need room on the right.
    place.set_xlim(min(xs) / 2.5, max(*xs, ridge) * 6)
    place.set_ylim(min(*ys, peak) / 2, max(*ys, peak) * 1.9)
    place.set_xlabel("FLOP per byte")
    place.set_ylabel("GFLOP/s")
    for axis, (low, high) in ((place.xaxis, place.get_xlim()), (place.yaxis, place.get_ylim())):
        axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > _FEW_TICKS else (1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
    place.minorticks_off()
    place.grid(color=FAINT, lw=0.6)
    plain_frame(place)


def _draw_roofs(place: Axes, roofline: Roofline) -> None:
    """The peak as a horizontal line, and a slanted line for each level of memory up to the peak."""
    peak = roofline.peak_flops / 1e9
    (left, right), (bottom, _) = place.get_xlim(), place.get_ylim()
    quickest = max(rate for _, rate in roofline.bandwidth) / 1e9
    place.plot([max(left, peak / quickest), right], [peak, peak], color=INK, lw=1.2)
    place.annotate(
        f"peak {words.significant(peak)} GFLOP/s",
        (max(left, peak / quickest), peak),
        (2, 3),
        textcoords="offset points",
        fontsize=8,
        color=INK,
    )
    rise = _slope(place)
    used: list[float] = []
    for (_, rate), name in zip(roofline.bandwidth, level_names(roofline), strict=True):
        slope = rate / 1e9
        start = max(left, bottom / slope)
        place.plot([start, peak / slope], [start * slope, peak], color=SOFT, lw=0.9)
        # The labels of nearly coinciding lines would overlap, so the next label moves further along.
        along = 1.25 * start
        while any(abs(math.log(along * slope / other)) < 0.25 for other in used) and along < peak / slope:
            along *= 1.6
        used.append(along * slope)
        place.annotate(
            f"{name} {words.significant(slope)} GB/s",
            (along, along * slope),
            (0, 2),
            textcoords="offset points",
            fontsize=7.5,
            color=SOFT,
            rotation=rise,
            rotation_mode="anchor",
        )


def level_names(roofline: Roofline) -> list[str]:
    """``L1``, ``L2`` … and ``memory`` for the last level."""
    return [*(f"L{number + 1}" for number in range(len(roofline.bandwidth) - 1)), "memory"]


def _slope(place: Axes) -> float:
    """The angle of a line of constant bandwidth in the drawing, in degrees."""
    scale = _points_per_decade(place)
    return math.degrees(math.atan2(scale[1], scale[0]))


def _points_per_decade(place: Axes) -> tuple[float, float]:
    """Length of a factor of ten along both axes in points (1/72 inch), before the layout trims the margins."""
    (left, right), (bottom, top) = place.get_xlim(), place.get_ylim()
    return 72 * (WIDTH_IN - 0.7) / math.log10(right / left), 72 * (_HEIGHT_IN - 1.0) / math.log10(top / bottom)


def _draw_points(place: Axes, points: Sequence[_Point], colors: Mapping[str, str]) -> None:
    longest = max(point.seconds for point in points)
    for kind in colors:
        chosen = [point for point in points if point.kind == kind]
        if not chosen:
            continue
        place.scatter(
            [point.intensity for point in chosen],
            [point.gflops for point in chosen],
            s=[_area(point, longest) for point in chosen],
            color=colors[kind],
            alpha=0.75,
            linewidths=0.8,
            edgecolors="white",
            zorder=3,
        )
        # The legend's marks all have the same size.
        place.scatter([], [], s=40, color=colors[kind], label=kind)


def _area(point: _Point, longest_s: float) -> float:
    """Area of a mark in square points: proportional to the time, but never too small to see."""
    return max(_SMALLEST, _LARGEST * point.seconds / longest_s)


def _label(place: Axes, points: Sequence[_Point], peak_gflops: float) -> None:
    """Labels the points, heaviest first, avoiding other labels and the line of the peak."""
    across, up = _points_per_decade(place)
    taken = [(-math.inf, math.inf, math.log10(peak_gflops) * up)]
    for point in points:
        x, y = math.log10(point.intensity) * across, math.log10(point.gflops) * up
        text = words.short(point.name, _NAME_LENGTH)
        gap, width = math.sqrt(_area(point, points[0].seconds) / math.pi) + 2, len(text) * _CHAR_PT
        for side, lines in _PLACES:
            start, height = x + gap if side > 0 else x - gap - width, y + lines * _LINE_PT
            if all(abs(height - h) >= _LINE_PT or start > end or start + width < begin for begin, end, h in taken):
                break
        else:
            continue
        taken.append((start, start + width, height))
        place.annotate(
            text,
            (point.intensity, point.gflops),
            (side * gap, lines * _LINE_PT),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=7.5,
            color=INK,
            zorder=4,
        )
