"""The layers where our runtime loses most time against the best peer and against the roofline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.layer_rows import LayerRow, make_rows, most_lost_to_peer, most_lost_to_roofline, ours_of
from tvmopt.benchmarks.report.layer_view import kernels_of, shapes, signed_ms
from tvmopt.benchmarks.report.tables import escape, markdown_table, plain_table
from tvmopt.benchmarks.report.view import title_of

COUNT = 10
"""Default number of rows of each kind."""

_WORDS = ("layer", "shapes", "precision", "best peer", "algorithm and config")
_NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Losses:
    """The rows where our runtime loses most, worst first.

    Attributes:
        ours: our runtime's title; empty when it has no profile, in which case there are no rows.
        to_peer: against the best runtime of the row.
        to_roofline: against the roofline's limit.
    """

    ours: str
    to_peer: tuple[LayerRow, ...]
    to_roofline: tuple[LayerRow, ...]

    def sections(self) -> list[tuple[str, tuple[LayerRow, ...]]]:
        """Both lists with their headings."""
        return [
            (f"Where {self.ours} loses most time against the best peer", self.to_peer),
            (f"Where {self.ours} loses most time against the roofline", self.to_roofline),
        ]


def find_losses(table: LayerTable, count: int = COUNT) -> Losses:
    """The `count` rows of each kind where our runtime loses most."""
    rows, ours = make_rows(table), ours_of(table)
    lists = (tuple(most_lost_to_peer(rows, count)), tuple(most_lost_to_roofline(rows, count)))
    return Losses(title_of(ours) if ours else "", *lists)


def losses_in_markdown(losses: Losses) -> list[str]:
    """The paragraphs and tables of a Markdown report."""
    if not losses.ours:
        return ["No profile of tvmopt."]
    parts = []
    for heading, rows in losses.sections():
        parts.append(f"{escape(heading)}:" if rows else f"{escape(heading)}: nowhere.")
        if rows:
            parts.append(markdown_table(heads_of(rows), [cells_of(row) for row in rows]))
    return parts


def losses_in_columns(losses: Losses) -> str:
    """The same for a terminal."""
    if not losses.ours:
        return "No profile of tvmopt.\n"
    parts = []
    for heading, rows in losses.sections():
        table = plain_table(heads_of(rows), [cells_of(row) for row in rows], _WORDS) if rows else "nowhere"
        parts.append(f"{heading}:\n{table}\n")
    return "\n".join(parts)


def heads_of(rows: Sequence[LayerRow]) -> tuple[str, ...]:
    """The heads of a table of `rows` (not empty): the layer, numbers, and last the algorithm and its config."""
    ours = title_of(rows[0].ours)
    return (
        "layer",
        "shapes",
        "precision",
        _operations(rows),
        "MB moved",
        f"{ours} ms",
        "best peer",
        "its ms",
        "difference ms",
        "of roofline",
        "algorithm and config",
    )


def cells_of(row: LayerRow) -> tuple[str, ...]:
    """A row's texts under `heads_of`."""
    more = len(row.layers) - 1
    name = words.short(row.layers[0], _NAME_LENGTH) + (f" +{more}" if more else "")
    difference, share = row.difference_s, row.roofline_share
    return (
        name,
        f"{shapes(row.operands)} → {shapes(row.outputs)}",
        row.precision or "–",
        words.significant(row.operations / 1e9) if row.operations else "–",
        words.significant(row.nbytes / 1e6) if row.nbytes else "–",
        _milliseconds(row.ours_s),
        title_of(row.peer) if row.peer else "–",
        _milliseconds(row.peer_s),
        "–" if difference is None else signed_ms(difference),
        f"{share:.0%}".replace("%", " %") if share else "–",
        "; ".join(f"{kind} {detail}".strip() for kind, detail in kernels_of(row)),
    )


def _operations(rows: Sequence[LayerRow]) -> str:
    """The head of operations, in 10⁹: of floats, of integers, or of either."""
    floats, integers = any(row.flops for row in rows), any(row.integer_ops for row in rows)
    return ("Gop" if floats else "GIOP") if integers else "GFLOP"


def _milliseconds(seconds: float | None) -> str:
    return words.milliseconds(seconds) if seconds else "–"
