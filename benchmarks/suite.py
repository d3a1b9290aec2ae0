"""The numbers this project is held to: ``python -m benchmarks.suite`` (`nox -s bench`).

Compares the example networks with their peers and sets tvmopt's latency against theirs: untuned over onnxruntime's,
tuned over the better of onnxruntime's and OpenVINO's, and the outputs against PyTorch's. Writes all measurements as
JSON, and the table as Markdown. With ``--layers`` it instead says which layers our time goes to.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from benchmarks.compare import Tune, run_comparison
from benchmarks.document import from_document, to_suite, write_document, write_text
from benchmarks.environment import usable_cores
from benchmarks.layer_bench import LayerBench, losses_of, profile_networks, write_profiles
from benchmarks.measurement import Comparison, Measurement
from benchmarks.options import CompareOptions, Listener, MeasureOptions
from pipeline.errors import TvmoptError
from schedules.target import host_isa

if TYPE_CHECKING:
    from pipeline.types import ImportedModel

NETWORKS = ("mobilenet_v2", "squeezenet1_1", "resnet50")
RUNTIMES = ("pytorch", "onnxruntime", "openvino", "tvmopt-untuned", "tvmopt")
UNTUNED_LIMIT, TUNED_LIMIT, ERROR_LIMIT = 1.5, 1.1, 1e-4
"""What must be reached: latency ratios, and the relative error of outputs."""

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Line:
    """One network on one thread count; ratios are missing where a side was not measured.

    Attributes:
        network, threads: which.
        untuned: latency of tvmopt untuned over onnxruntime's.
        tuned: latency of tvmopt tuned over the better of onnxruntime's and OpenVINO's.
        error: the larger relative error of our outputs.
        note: why something is missing, or empty.
    """

    network: str
    threads: int
    untuned: float | None
    tuned: float | None
    error: float | None
    note: str

    @property
    def passes(self) -> bool:
        """Whether everything was measured and keeps its limit."""
        limits = ((self.untuned, UNTUNED_LIMIT), (self.tuned, TUNED_LIMIT), (self.error, ERROR_LIMIT))
        return all(value is not None and value <= limit for value, limit in limits)


def summarize_comparison(comparison: Comparison) -> list[Line]:
    """The lines of one comparison, one for each cell."""
    return [_line(comparison, batch, threads) for batch, threads in comparison.cells()]


def render_table(lines: Sequence[Line]) -> str:
    """The lines as a Markdown table; what misses its limit is bold."""
    heads = (
        f"untuned / onnxruntime (≤ {UNTUNED_LIMIT:g})",
        f"tuned / best of onnxruntime, OpenVINO (≤ {TUNED_LIMIT:g})",
        f"relative error (≤ {ERROR_LIMIT:g})",
    )
    rows = [f"| network | threads | {' | '.join(heads)} | |", "|---|---|---|---|---|---|"]
    for line in lines:
        untuned, tuned = _mark(line.untuned, UNTUNED_LIMIT, "{:.2f}"), _mark(line.tuned, TUNED_LIMIT, "{:.2f}")
        error = _mark(line.error, ERROR_LIMIT, "{:.1e}")
        rows.append(f"| {line.network} | {line.threads} | {untuned} | {tuned} | {error} | {line.note} |")
    return "\n".join(rows) + "\n"


@click.command()
@click.option("--network", "networks", type=click.Choice(NETWORKS), multiple=True, default=NETWORKS, help="Repeatable.")
@click.option("--threads", type=click.IntRange(min=1), multiple=True, default=(1, 2), help="Repeatable.")
@click.option("--trials", type=click.IntRange(min=0), default=0, show_default=True, help="Tune each line first.")
@click.option("--logs", type=click.Path(path_type=Path), default=_ROOT / "tuning_logs", help="Tuning records.")
@click.option("--rounds", type=click.IntRange(min=5), default=20, show_default=True, help="Turns of each runtime.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Folder for the files.  [default: benchmarks/results; with --layers none are written]",
)
@click.option("--check", is_flag=True, help="End with exit code 1 when a limit is missed.")
@click.option("--layers", is_flag=True, help="Only say which layers lose most to the best peer and the roofline.")
@click.pass_context
def main(
    context: click.Context,
    /,
    networks: tuple[str, ...],
    threads: tuple[int, ...],
    results: Path | None,
    layers: bool,
    **settings: Any,
) -> None:
    """Measure the example networks against their peers, print the ratios, keep the files."""
    counts = tuple(count for count in threads if count <= len(usable_cores()))
    if layers:
        for name in ("trials", "rounds", "check"):
            if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name} does not go with --layers, which takes profiles alone")
        _profile(LayerBench(tuple(map(_model_of, networks)), counts, settings["logs"]), results)
    else:
        _compare(networks, counts, results or _ROOT / "benchmarks" / "results", **settings)


def _compare(networks: Sequence[str], counts: tuple[int, ...], results: Path, *, check: bool, **settings: Any) -> None:
    """Compares the networks, prints and keeps the table."""
    documents: list[dict[str, Any]] = []
    lines: list[Line] = []
    for network in networks:
        document = _measure(network, counts, **settings)
        documents.append(document)
        lines += summarize_comparison(from_document(document))
        if not document["complete"]:
            break
    click.echo(render_table(lines))
    for path in _write(results, documents, lines):
        click.echo(f"wrote {path}")
    if check and not all(line.passes for line in lines):
        raise SystemExit(1)


def _profile(bench: LayerBench, results: Path | None) -> None:
    """Profiles the networks and prints where we lose; keeps it if there is a folder to keep it in."""
    documents = []
    try:
        for document in profile_networks(bench, _Steps()):
            documents.append(document)
            click.echo(losses_of(document))
        if results is not None:
            results.mkdir(parents=True, exist_ok=True)
            for path in write_profiles(documents, results / f"{_today()}-layers"):
                click.echo(f"wrote {path}")
    except TvmoptError as error:
        raise click.ClickException(str(error)) from None


def _measure(network: str, threads: tuple[int, ...], *, trials: int, logs: Path, rounds: int) -> dict[str, Any]:
    """One network on all thread counts."""
    options = CompareOptions(
        _model_of(network),
        RUNTIMES,
        threads=threads,
        logs=(logs,),
        tune_trials=trials,
        measure=MeasureOptions(rounds=rounds),
    )
    try:
        return run_comparison(options, _Steps(), _tuner(logs, trials))
    except TvmoptError as error:
        raise click.ClickException(str(error)) from None


def _model_of(network: str) -> str:
    """MODEL; relative, since measurement files name it as it was given."""
    return f"{os.path.relpath(_ROOT / 'models' / f'{network}.py')}:build"


class _Steps(Listener):
    """Says on standard error what is being done, rounds left out."""

    def step(self, what: str) -> None:
        """One line a step."""
        if ": round " not in what:
            click.echo(what, err=True)


def _tuner(logs: Path, trials: int) -> Tune:
    def tune(model: ImportedModel, threads: int) -> None:
        from pipeline.tuning.search import TuneOptions
        from pipeline.tuning.session import tune_model
        from schedules.target import parse_target

        tune_model(model, parse_target("llvm", threads), logs, TuneOptions(trials=trials))

    return tune


def _write(folder: Path, documents: Sequence[dict[str, Any]], lines: Sequence[Line]) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    json_file, table_file = folder / f"{_today()}.json", folder / f"{_today()}.md"
    write_document(to_suite(documents), json_file)
    environment = documents[0]["environment"]
    write_text(f"{environment['cpu']}, {environment['os']}\n\n{render_table(lines)}", table_file)
    return json_file, table_file


def _today() -> str:
    """What files are named after: the machine and the day."""
    return f"{platform.machine()}-{host_isa()}-{datetime.now(UTC).date().isoformat()}"


def _line(comparison: Comparison, batch: int, threads: int) -> Line:
    rows = {row.runtime: row for row in comparison.rows(batch, threads)}
    peer = _median_s(rows, "onnxruntime")
    best = min((s for s in (peer, _median_s(rows, "openvino")) if s is not None), default=None)
    untuned, tuned = _median_s(rows, "tvmopt-untuned"), _median_s(rows, "tvmopt")
    ours = [rows[name] for name in ("tvmopt-untuned", "tvmopt") if name in rows]
    errors = [row.output_error.relative for row in ours if row.output_error is not None]
    return Line(
        str(comparison.model["name"]),
        threads,
        None if untuned is None or peer is None else untuned / peer,
        None if tuned is None or best is None else tuned / best,
        max(errors, default=None),
        "; ".join(f"{row.runtime}: {row.message}" for row in rows.values() if row.status != "ok"),
    )


def _median_s(rows: dict[str, Measurement], name: str) -> float | None:
    row = rows.get(name)
    return row.latency_s.median if row is not None and row.latency_s is not None and row.status == "ok" else None


def _mark(value: float | None, limit: float, form: str) -> str:
    if value is None:
        return "–"
    text = form.format(value)
    return text if value <= limit else f"**{text}**"


if __name__ == "__main__":
    main()
