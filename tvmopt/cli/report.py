"""``tvmopt report``: turns measurement files into tables, a page or Markdown."""

from __future__ import annotations

from pathlib import Path

import click

from tvmopt.cli.options import OutputFile


@click.command()
@click.argument("results", nargs=-1, required=True, metavar="RESULTS.json…", type=click.Path(path_type=Path))
@click.option("--html", "html_file", type=OutputFile(".html", ".htm"), help="Write a self-contained page.")
@click.option("--md", "md_file", type=OutputFile(".md"), help="Write Markdown for an issue or a wiki.")
def command(results: tuple[Path, ...], html_file: Path | None, md_file: Path | None) -> None:
    """Turn measurement files of `tvmopt compare` into a page or Markdown; offline, from the files alone.

    Without --html and --md it prints the tables. Files from different machines are shown separately.
    """
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.views.comparison import print_comparisons
    from tvmopt.jobs.reporting import ReportJob, report

    comparisons = report(ReportJob(results, html_file, md_file))
    if html_file is None and md_file is None:
        print_comparisons(comparisons, make_console())
    for path in filter(None, (html_file, md_file)):
        click.echo(f"wrote {path}")
