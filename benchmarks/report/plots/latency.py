"""The plots of a comparison: latency, speed-up, throughput, error, memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.plots.drawing import (
    FAINT,
    INK,
    Plot,
    color_of,
    draw_plot,
    make_figure,
    plain_frame,
    power,
)
from tvmopt.benchmarks.report.view import baseline_of, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ROW_IN = 0.27
_FRAME_IN = 0.62


@dataclass(frozen=True, slots=True)
class _Bar:
    label: str
    color: str
    value: float
    interval: tuple[float, float] | None
    text: str


def draw_plots(comparison: Comparison) -> list[Plot]:
    """Latency, speed-up, FPS, error and memory of one comparison; those without data are left out.

    Raises:
        RuntimeMissingError: when matplotlib is not installed.
    """
    baseline = title_of(baseline_of(comparison))
    drawings: tuple[tuple[str, str, Callable[[Comparison], Figure | None]], ...] = (
        ("Latency", "Median time of one call in ms, with its 95 % interval. Shorter is better.", _draw_latency),
        (
            f"Speed-up over {baseline}",
            f"How many times the speed of {baseline}, with its 95 % interval; on a logarithmic axis.",
            _draw_speedup,
        ),
        ("Throughput", "Frames a second: batch size over median latency. Higher is better.", _draw_fps),
        (
            f"Difference from {baseline}'s outputs",
            (
                f"Relative error on a logarithmic axis: {words.RELATIVE_ERROR[comparison.relative_error]}. FP32 "
                "runtimes differ only by rounding."
            ),
            _draw_error,
        ),
        ("Peak memory", "Highest resident memory of the process in MiB, library included.", _draw_memory),
    )
    salt = f"{comparison.model['name']}{comparison.created}"
    plots = (draw_plot(title, caption, salt, partial(draw, comparison)) for title, caption, draw in drawings)
    return [plot for plot in plots if plot is not None]


def _draw_latency(comparison: Comparison) -> Figure | None:
    def bar(row: Measurement) -> _Bar | None:
        latency = row.latency_s
        if latency is None:
            return None
        low, high = latency.interval
        text = words.milliseconds(latency.median)
        return _bar(row, latency.median * 1e3, (low * 1e3, high * 1e3), text)

    return _panels(comparison, comparison.cells(), bar, _finish_bars)


def _draw_speedup(comparison: Comparison) -> Figure | None:
    def bar(row: Measurement) -> _Bar | None:
        verdict = comparison.verdict(row.runtime, baseline_of(comparison), (row.batch, row.threads))
        if verdict is None:
            return None
        low, high = verdict.interval
        return _bar(row, 1 / verdict.ratio, (1 / high, 1 / low), words.speedup(verdict))

    return _panels(comparison, comparison.cells(), bar, _finish_speedup, dots=True)


def _draw_error(comparison: Comparison) -> Figure | None:
    def bar(row: Measurement) -> _Bar | None:
        error = row.output_error
        if error is None or not 0 < error.relative < math.inf or row.runtime == baseline_of(comparison):
            return None
        return _bar(row, error.relative, None, words.error(error.relative))

    return _panels(comparison, _one_thread_count(comparison), bar, _finish_error, dots=True)


def _draw_memory(comparison: Comparison) -> Figure | None:
    def bar(row: Measurement) -> _Bar | None:
        peak = row.peak_memory_bytes
        return _bar(row, peak / 2**20, None, words.mebibytes(peak)) if peak and row.latency_s else None

    return _panels(comparison, _one_thread_count(comparison), bar, _finish_bars)


def _draw_fps(comparison: Comparison) -> Figure | None:
    """Lines over batch size, with a panel for each thread count; over threads if there is only one batch size."""
    measured = [row for row in comparison.measurements if row.status == "ok"]
    batches, threads = sorted({row.batch for row in measured}), sorted({row.threads for row in measured})
    if len(batches) * len(threads) < 2:
        return _panels(comparison, comparison.cells(), _fps_bar, _finish_bars)
    over_batch = len(batches) > 1
    steps, panels = (batches, threads) if over_batch else (threads, [batches[0]])
    figure, axes = make_figure(1, len(panels), 2.9)
    top = max(row.fps or 0.0 for row in measured) * 1.06
    for panel, place in zip(panels, axes, strict=False):
        for name in dict.fromkeys(row.runtime for row in measured):
            rows = [row for row in measured if row.runtime == name]
            rows = [row for row in rows if (row.threads if over_batch else row.batch) == panel]
            points = sorted((row.batch if over_batch else row.threads, row.fps or 0.0) for row in rows)
            if points:
                xs, ys = [steps.index(x) for x, _ in points], [y for _, y in points]
                width = 2.2 if name.startswith("tvmopt") else 1.4
                place.plot(xs, ys, "o-", ms=4, lw=width, color=color_of(name), label=title_of(name))
        place.set_title(words.where(steps[0], panel).split(", ")[1] if over_batch else "", loc="left", fontsize=9)
        place.set_xticks(range(len(steps)), [str(step) for step in steps])
        place.set_xlabel("batch size" if over_batch else "threads")
        place.set_xlim(-0.25, len(steps) - 0.75)
        place.set_ylim(0, top)
        place.yaxis.set_major_formatter("{x:,.0f}")
        place.grid(axis="y", color=FAINT, lw=0.6)
        plain_frame(place)
    axes[0].set_ylabel("FPS")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8.5)
    return figure


def _fps_bar(row: Measurement) -> _Bar | None:
    return _bar(row, row.fps, None, words.significant(row.fps)) if row.fps else None


def _panels(
    comparison: Comparison,
    cells: Sequence[tuple[int, int]],
    bar: Callable[[Measurement], _Bar | None],
    finish: Callable[[Axes, Sequence[_Bar]], None],
    dots: bool = False,
) -> Figure | None:
    """One panel per cell, two side by side; one line per runtime, in the same order in every panel."""
    by_cell = {cell: [bar(row) for row in comparison.rows(*cell) if row.status == "ok"] for cell in cells}
    bars = {cell: [item for item in items if item] for cell, items in by_cell.items()}
    bars = {cell: items for cell, items in bars.items() if items}
    if not bars:
        return None
    columns = min(2, len(bars))
    lines = -(-len(bars) // columns)
    highest = max(len(items) for items in bars.values())
    figure, axes = make_figure(lines, columns, lines * (highest * _ROW_IN + _FRAME_IN))
    same = len({tuple(item.label for item in items) for items in bars.values()}) == 1
    for place, (cell, items) in zip(axes, bars.items(), strict=False):
        for position, item in enumerate(items):
            _draw_bar(place, position, item, dots)
        place.set_yticks(range(len(items)), [item.label for item in items])
        if same and place not in axes[::columns]:
            place.tick_params(labelleft=False)
        place.set_ylim(len(items) - 0.4, -0.6)
        place.set_title(words.where(*cell), loc="left", fontsize=9, color=INK, fontweight="bold")
        place.tick_params(axis="y", length=0)
        plain_frame(place)
        finish(place, items)
    return figure


def _draw_bar(place: Axes, position: int, item: _Bar, dots: bool) -> None:
    if dots:
        place.plot([item.value], [position], "o", ms=6, color=item.color, zorder=3)
    else:
        place.barh(position, item.value, height=0.62, color=item.color)
    if item.interval:
        low, high = item.interval
        color = item.color if dots else INK
        place.plot([low, high], [position, position], "-", lw=1.4, color=color, solid_capstyle="butt", zorder=4)
        place.plot([low, high], [position, position], "|", ms=5, mew=1.1, color=color, zorder=4)
    end = max(item.value, item.interval[1] if item.interval else 0.0)
    place.annotate(item.text, (end, position), (5, 0), textcoords="offset points", va="center", fontsize=8.5, color=INK)


def _finish_bars(place: Axes, items: Sequence[_Bar]) -> None:
    ends = [item.interval[1] if item.interval else item.value for item in items]
    place.set_xlim(0, max(ends) * 1.18)
    place.xaxis.set_visible(False)
    place.spines["bottom"].set_visible(False)
    place.spines["left"].set_color(INK)


def _finish_speedup(place: Axes, items: Sequence[_Bar]) -> None:
    ends = [end for item in items for end in item.interval or (item.value, item.value)]
    low, high = min(0.8, *ends), max(1.25, *ends)
    place.set_xscale("log", base=2)
    place.set_xlim(low / 1.15, high * (high / low) ** 0.2)
    exponents = _few(math.ceil(math.log2(low / 1.15)), math.floor(math.log2(high * 1.15)))
    place.set_xticks([2.0**e for e in exponents], [f"{2.0**e:g}×" for e in exponents])
    place.xaxis.minorticks_off()
    place.axvline(1.0, color=INK, lw=0.9, zorder=1)
    place.grid(axis="x", color=FAINT, lw=0.6)


def _finish_error(place: Axes, items: Sequence[_Bar]) -> None:
    low = math.floor(math.log10(min(item.value for item in items)))
    high = max(low + 2, math.ceil(math.log10(max(item.value for item in items))))
    place.set_xscale("log")
    place.set_xlim(10.0 ** (low - 0.2), 10.0 ** (high + 0.25 * (high - low)))
    place.set_xticks([10.0**e for e in _few(low, high)], [power(e) for e in _few(low, high)])
    place.xaxis.minorticks_off()
    place.grid(axis="x", color=FAINT, lw=0.6)


def _few(low: int, high: int) -> range:
    """Exponents from `low` to `high`, including zero if in range, as many as there is room to label."""
    step = -(-(high - low + 1) // 6)
    return range(low + -low % step, high + 1, step)


def _one_thread_count(comparison: Comparison) -> list[tuple[int, int]]:
    """For each batch size the cell with most threads, for values that hardly depend on the threads."""
    most: dict[int, int] = {}
    for batch, threads in comparison.cells():
        most[batch] = max(threads, most.get(batch, 0))
    return list(most.items())


def _bar(row: Measurement, value: float, interval: tuple[float, float] | None, text: str) -> _Bar:
    return _Bar(title_of(row.runtime), color_of(row.runtime), value, interval, text)
