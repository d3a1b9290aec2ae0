"""Compares the tuners on recorded exhaustive tables: ``python -m tvmopt.benchmarks.suite.tuners``.

A table has every config of one real task, measured once (`tvmopt tune --tuner grid --tasks NAME`). In a replay every
tuner sees the same machine, and its distance from the best is known. Tuners start without the template's default, which
is often close to the best and would hide their differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvmopt.pipeline.tuning.tuners import TUNERS

if TYPE_CHECKING:
    from tvmopt.pipeline.tuning.replay import TunerScore
    from tvmopt.schedules.target import Target

TABLES = Path(__file__).parent / "tables"
FRACTIONS = (0.02, 0.05, 0.1, 0.15, 0.25)


@click.command()
@click.option("--tables", type=click.Path(path_type=Path, exists=True, file_okay=False), default=TABLES, metavar="DIR")
@click.option("--seeds", type=click.IntRange(min=1), default=20, show_default=True, help="Runs of each tuner.")
def main(tables: Path, seeds: int) -> None:
    """Print, for each table and tuner, the best latency found over the table's best, after fractions of the space."""
    click.echo(render(score_tables(tables, tuple(range(seeds)))))


def score_tables(folder: Path, seeds: Sequence[int]) -> list[tuple[str, int, dict[str, TunerScore]]]:
    """For each table its name, its number of configs, and each tuner's score."""
    from tvmopt.pipeline.tuning.replay import compare_tuners, read_table

    scores = []
    for path in sorted(folder.glob("*.jsonl")):
        table = read_table(path, table_target(path))
        scores.append((path.stem, len(table.candidates), compare_tuners(table, tuple(TUNERS), seeds, FRACTIONS)))
    return scores


def table_target(path: Path) -> Target:
    """The target that a table was measured on."""
    from tvmopt.pipeline.records.store import read_records
    from tvmopt.schedules.target import Target

    facts = dict(next(read_records(path)).target)
    facts.pop("key", None)
    return Target.from_json(facts)


def render(scores: Sequence[tuple[str, int, dict[str, TunerScore]]]) -> str:
    """A Markdown table of medians over seeds, with the worst seed at 15 %."""
    header = " | ".join(f"{fraction:.0%}" for fraction in FRACTIONS)
    lines = [f"| table | configs | tuner | {header} | worst of 15 % |", f"|---|---|---|{'---|' * (len(FRACTIONS) + 1)}"]
    for name, count, tuners in scores:
        for tuner, score in tuners.items():
            medians = " | ".join(f"{score.median(fraction):.3f}" for fraction in FRACTIONS)
            worst = max(row[FRACTIONS.index(0.15)] for row in score.ratios)
            lines.append(f"| {name} | {count} | {tuner} | {medians} | {worst:.3f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
