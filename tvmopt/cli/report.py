"""``tvmopt report``: measurement files into tables, a page, Markdown."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvmopt.cli.options import OutputFile
from tvmopt.pipeline.errors import RuntimeMissingError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tvmopt.benchmarks.measurements.types import Comparison
    from tvmopt.benchmarks.report.view import CellView


@click.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULTS.json…", type=click.Path(path_type=Path))
@click.option("--html", "html_file", type=OutputFile(".html", ".htm"), help="Write a page that needs nothing else.")
@click.option("--md", "md_file", type=OutputFile(".md"), help="Write Markdown for an issue or a wiki.")
def command(results: tuple[Path, ...], html_file: Path | None, md_file: Path | None) -> None:
    """Turn measurement files of `tvmopt compare` into a page or Markdown; offline, from the files alone.

    Without --html and --md it prints the tables. Files of unlike machines are shown apart.
    """
    from rich.console import Console

    from tvmopt.benchmarks.measurements.files import read_comparisons

    comparisons = [comparison for path in results for comparison in read_comparisons(path)]
    if html_file is None and md_file is None:
        print_tables(comparisons, Console())
    write_reports(comparisons, html_file, md_file)
    for path in filter(None, (html_file, md_file)):
        click.echo(f"wrote {path}")


def require_page_packages() -> None:
    """Makes sure, before hours of measuring, that a page can be made of it.

    Raises:
        RuntimeMissingError: when jinja2 or matplotlib is not installed.
    """
    missing = [name for name in ("jinja2", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeMissingError(f"--html needs {' and '.join(missing)}: pip install 'tvmopt[compare]'")


def write_reports(comparisons: Sequence[Comparison], html_file: Path | None, md_file: Path | None) -> None:
    """Writes the reports that are asked for, each whole or not at all."""
    from tvmopt.benchmarks.measurements.files import write_text

    if html_file is not None:
        from tvmopt.benchmarks.report.page import render_page

        require_page_packages()
        write_text(render_page(comparisons), html_file)
    if md_file is not None:
        from tvmopt.benchmarks.report.markdown import render_markdown

        write_text(render_markdown(comparisons), md_file)


def print_tables(comparisons: Sequence[Comparison], console: Console) -> None:
    """Prints one table a cell, machine by machine."""
    from rich.text import Text

    from tvmopt.benchmarks.report.layer_losses import find_losses, losses_in_columns
    from tvmopt.benchmarks.report.machines import group_by_machine, unlike_warning
    from tvmopt.benchmarks.report.view import baseline_of, title_of, view_cells, view_notes
    from tvmopt.benchmarks.report.words import where

    machines = group_by_machine(comparisons)
    warning = unlike_warning(machines)
    if warning:
        _say(console, warning, "bold red")
    for machine in machines:
        _say(console, machine.label, "dim")
        for comparison in machine.comparisons:
            for cell in view_cells(comparison):
                title = f"{comparison.model['name']}, {cell.heading}"
                console.print(cell_table(cell, title, title_of(baseline_of(comparison))))
                for absent in cell.absent:
                    _say(console, f"  {absent.title}: {absent.message}", "dim")
                _say(console, cell.finding)
            for table in comparison.layers:
                title = f"{comparison.model['name']}, {where(table.batch, table.threads)}, layer by layer"
                console.print()
                _say(console, title, "bold")
                console.print(Text(losses_in_columns(find_losses(table))), soft_wrap=True)
            for note in view_notes(comparison):
                _say(console, note, "dim")


def cell_table(cell: CellView, title: str, baseline: str) -> Table:
    """The measured rows of one cell."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(_printable(title)), title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("runtime", "median ms", "95 % interval", "FPS", f"over {baseline}", "error", "MiB"):
        table.add_column(Text(_printable(name)), justify="left" if name == "runtime" else "right", no_wrap=True)
    for row in cell.rows:
        numbers = (row.median_ms, row.interval_ms, row.fps, row.speedup, row.error, row.memory_mib)
        style = "bold" if row.name.startswith("tvmopt") else ""
        table.add_row(*(Text(_printable(item)) for item in (row.title, *numbers)), style=style)
    return table


def _say(console: Console, line: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(_printable(line), style=style), soft_wrap=True)


def _printable(text: str) -> str:
    """`text` without what would steer the terminal: it may come from somebody else's file."""
    return "".join(char if char.isprintable() else " " for char in text)
