"""Reports from measurement files, as a page or Markdown; offline, from the files alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tvmopt.benchmarks.measurements.files import read_comparisons, write_text
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.pipeline.errors import RuntimeMissingError


@dataclass(frozen=True, slots=True)
class ReportJob:
    """What to report.

    Attributes:
        results: measurement files of `compare`.
        html_file: where to write a self-contained page; None for none.
        md_file: where to write Markdown; None for none.
    """

    results: tuple[Path, ...]
    html_file: Path | None = None
    md_file: Path | None = None


def report(job: ReportJob) -> tuple[Comparison, ...]:
    """Reads measurement files and writes the requested reports, each whole or not at all.

    Args:
        job: which files, and which reports.

    Returns:
        The comparisons in the files, in order.

    Raises:
        InputFileError: a file cannot be read, or is not a measurement file, or a report cannot be written.
        RuntimeMissingError: a page is requested, and a package that it needs is not installed.
    """
    comparisons = tuple(comparison for path in job.results for comparison in read_comparisons(path))
    write_reports(comparisons, job.html_file, job.md_file)
    return comparisons


def require_page_packages() -> None:
    """Checks, before hours of measuring, that the packages for a page are installed.

    Raises:
        RuntimeMissingError: when jinja2 or matplotlib is not installed.
    """
    missing = [name for name in ("jinja2", "matplotlib") if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeMissingError(f"--html needs {' and '.join(missing)}: pip install 'tvmopt[compare]'")


def write_reports(comparisons: Sequence[Comparison], html_file: Path | None, md_file: Path | None) -> None:
    """Writes the requested reports, each whole or not at all.

    Raises:
        InputFileError: when one cannot be written.
        RuntimeMissingError: when a page is requested, and a package that it needs is not installed.
    """
    if html_file is not None:
        require_page_packages()
        from tvmopt.benchmarks.report.page import render_page

        write_text(render_page(comparisons), html_file)
    if md_file is not None:
        from tvmopt.benchmarks.report.markdown import render_markdown

        write_text(render_markdown(comparisons), md_file)
