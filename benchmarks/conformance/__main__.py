"""``python -m tvmopt.benchmarks.conformance``: runs ONNX's tests of its operators."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from tvmopt.benchmarks.conformance.cases import all_cases
from tvmopt.benchmarks.conformance.outcome import Outcome
from tvmopt.benchmarks.conformance.run_cases import run_cases
from tvmopt.benchmarks.conformance.summary import WIDTH, Result, faults, operators_table, tests_of, totals
from tvmopt.benchmarks.measurements.files import write_document
from tvmopt.pipeline.errors import InputFileError, TvmoptError

SCHEMA = "tvmopt-conformance"
SCHEMA_VERSION = 1

_SAVE_EVERY = 20
"""After how many cases the file of results is written."""


@click.command()
@click.argument("operators", nargs=-1)
@click.option("--results", type=click.Path(path_type=Path), help="File of results; cases in it are not run again.")
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True, help="Cases run at the same time.")
@click.option("--limit", type=float, default=60.0, show_default=True, help="Seconds that a case may take.")
@click.option("--missing", is_flag=True, help="Print each test that only ONNX Runtime passes, with the reason.")
def main(operators: tuple[str, ...], results: Path | None, processes: int, limit: float, missing: bool) -> None:
    """Run ONNX's tests of OPERATORS, or of all: tvmopt beside ONNX Runtime.

    Ends with an error if tvmopt computes something wrong, crashes or hangs in any of them.
    """
    try:
        done = _read(results) if results is not None else {}
        cases = all_cases(operators)
        if not cases:
            raise click.UsageError(f"ONNX has no test of {' or '.join(operators)}")
        wanted = {case.key for case in cases}
        left = [case for case in cases if case.key not in done]
        for count, (case, by_program) in enumerate(run_cases(left, processes, limit), start=1):
            done[case.key] = Result(case.test, case.operator, case.form, **by_program)
            if results is not None and (count % _SAVE_EVERY == 0 or count == len(left)):
                _write(done, results)
            if sys.stderr.isatty():
                click.echo(f"\r{count} of {len(left)}", nl=count == len(left), err=True)
    except TvmoptError as error:
        raise click.ClickException(str(error)) from error
    shown = {key: result for key, result in done.items() if key in wanted}
    if missing:
        for test in tests_of(shown):
            if test.known and test.verdict != "pass":
                click.echo(f"{test.name}: {test.verdict}: {test.reason}")
    click.echo(f"{operators_table(shown)}\n\n{totals(shown)}")
    found = faults(shown)
    if found:
        listed = "\n".join(f"{key}: {outcome.verdict}: {outcome.reason[:WIDTH]}" for key, outcome in found)
        raise click.ClickException(f"tvmopt is at fault in {len(found)} cases:\n{listed}")


def _read(path: Path) -> dict[str, Result]:
    """The results of earlier runs; none when the file does not exist."""
    if not path.exists():
        return {}
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        if (document["schema"], document["schema_version"]) != (SCHEMA, SCHEMA_VERSION):
            raise ValueError(f"it has the schema {document['schema']!r}, version {document['schema_version']}")
        return {
            key: Result(
                *(data[name] for name in ("test", "operator", "form")),
                *(Outcome.from_json(data[name]) for name in ("onnxruntime", "tvmopt")),
            )
            for key, data in document["cases"].items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputFileError(f"{path}: not a file of conformance results: {error}") from error


def _write(done: dict[str, Result], path: Path) -> None:
    cases = {
        key: {
            **{name: getattr(result, name) for name in ("test", "operator", "form")},
            **{name: getattr(result, name).to_json() for name in ("onnxruntime", "tvmopt")},
        }
        for key, result in sorted(done.items())
    }
    write_document({"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "cases": cases}, path)


if __name__ == "__main__":
    main()
