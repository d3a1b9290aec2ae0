"""Measures the project's performance targets: ``python -m tvmopt.benchmarks.suite`` (`nox -s bench`).

It compares tvmopt with its peers on the suite's networks, all in turn: its latency with that of each network's best
peer, its peak memory with onnxruntime's, its outputs with PyTorch's. It writes all measurements as JSON, and the table
as Markdown. ``--short`` takes three networks and few rounds; ``--networks`` takes networks of many kinds that were
never tuned; ``--against`` reports what became slower than earlier results; ``--layers`` instead reports the layers that
our time goes to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document, read_comparisons, to_suite, write_document, write_text
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.verdicts import TRANSFER, TUNED, UNTUNED
from tvmopt.benchmarks.runtimes.registry import peers
from tvmopt.benchmarks.suite import never_tuned
from tvmopt.benchmarks.suite.layers import LayerBench, losses_of, profile_networks, write_profiles
from tvmopt.benchmarks.suite.network_table import (
    MEAN_LIMIT,
    NEVER_TUNED_MEAN_LIMIT,
    passes,
    render_settings,
    render_table,
    summarize_comparison,
)
from tvmopt.benchmarks.suite.regressions import compare_runs, regressions, render_changes
from tvmopt.benchmarks.suite.steps import EchoSteps, fitting_threads
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import CancelledError, TvmoptError
from tvmopt.pipeline.support.shipped import shipped

NETWORKS = (
    *("mobilenet_v2", "mobilenet_v3_large", "squeezenet1_1", "resnet50", "vgg16", "densenet121", "inception_v3"),
    *("efficientnet_b0", "ssd_mobilenet", "lstm", "fc_dnn"),
)
SHORT_NETWORKS = ("mobilenet_v2", "squeezenet1_1", "resnet50")
BATCHED = {"mobilenet_v2": (1, 4), "resnet50": (1, 4)}
"""Networks that are also measured at other batch sizes, except in the short form."""

ROUNDS, SHORT_ROUNDS = 20, 7

_RESULTS = Path(__file__).resolve().parents[1] / "results"


@click.command()
@click.option(
    "--network",
    "chosen",
    type=click.Choice((*NETWORKS, *never_tuned.NAMES)),
    multiple=True,
    metavar="NAME",
    help="Repeatable.  [default: all of the suite]",
)
@click.option("--networks", "untuned", is_flag=True, help="Networks of many kinds that were never tuned.")
@click.option("--short", is_flag=True, help=f"{', '.join(SHORT_NETWORKS)}; {SHORT_ROUNDS} rounds; batch 1.")
@click.option("--threads", type=click.IntRange(min=1), multiple=True, default=(1, 2), help="Repeatable.")
@click.option("--trials", type=click.IntRange(min=0), default=0, show_default=True, help="Tune each line first.")
@click.option("--logs", type=click.Path(path_type=Path), default=shipped("tuning_logs"), help="Tuning records.")
@click.option(
    "--peer", type=click.Choice(peers()), multiple=True, help="Repeatable.  [default: all; with --networks three]"
)
@click.option("--rounds", type=click.IntRange(min=5), default=ROUNDS, show_default=True, help="Turns of each runtime.")
@click.option(
    "--results",
    type=click.Path(path_type=Path),
    help="Folder for the files.  [default: benchmarks/results; with --layers none are written]",
)
@click.option(
    "--against", type=click.Path(path_type=Path), help="Report what became slower since this file of results."
)
@click.option("--check", is_flag=True, help="End with exit code 1 when a limit is missed or something became slower.")
@click.option("--layers", is_flag=True, help="Only report the layers that lose most to the best peer and the roofline.")
@click.pass_context
def main(
    context: click.Context,
    /,
    chosen: tuple[str, ...],
    untuned: bool,
    short: bool,
    threads: tuple[int, ...],
    **settings: Any,
) -> None:
    """Measure the example networks against their peers, print the ratios, keep the files."""
    counts = fitting_threads(threads)
    if untuned and short:
        raise click.UsageError("--short does not go with --networks; name some with --network instead")
    networks = chosen or (never_tuned.NAMES if untuned else SHORT_NETWORKS if short else NETWORKS)
    given = {name for name in settings if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if settings["layers"]:
        for name in ("trials", "rounds", "peer", "against", "check"):
            if name in given:
                raise click.UsageError(f"--{name} does not go with --layers, which only profiles")
        _profile(LayerBench(tuple(map(model_of, networks)), counts, settings["logs"]), settings["results"])
    else:
        rounds = SHORT_ROUNDS if short and "rounds" not in given else settings["rounds"]
        rivals = settings["peer"] or (never_tuned.PEERS if untuned else peers())
        plan = Plan(
            networks,
            counts,
            {} if short else BATCHED,
            settings["trials"],
            settings["logs"],
            rounds,
            (*rivals, *((TRANSFER,) if untuned else (UNTUNED, TUNED))),
            NEVER_TUNED_MEAN_LIMIT if untuned else MEAN_LIMIT,
        )
        results = settings["results"] or _RESULTS
        reached = _compare(plan, results, settings["against"])
        if settings["check"] and not reached:
            raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        networks: names of files in models/, or of `never_tuned.NAMES`.
        threads: thread counts.
        batches: batch sizes of the networks that are not measured at batch size 1 only.
        trials: tuning trials before each cell.
        logs: folder of tuning records.
        rounds: turns of each runtime.
        runtimes: the runtimes to measure, peers first.
        mean_limit: minimum geometric mean of the speeds over the best peers.
    """

    networks: tuple[str, ...]
    threads: tuple[int, ...]
    batches: Mapping[str, tuple[int, ...]]
    trials: int
    logs: Path
    rounds: int
    runtimes: tuple[str, ...]
    mean_limit: float


def _compare(plan: Plan, results: Path, against: Path | None) -> bool:
    """Compares the networks, prints and saves the tables; returns whether all limits hold and nothing became slower."""
    try:
        earlier = read_comparisons(against) if against else ()
        documents, failed = _measure_all(plan)
        if not documents:
            raise click.ClickException("nothing was measured")
        comparisons = [from_document(document) for document in documents]
        changes = compare_runs(earlier, comparisons) if against else []
    except TvmoptError as error:
        raise click.ClickException(str(error)) from None
    lines = [line for comparison in comparisons for line in summarize_comparison(comparison)]
    parts = [render_table(lines, plan.mean_limit), render_settings(comparisons)]
    if against:
        parts.append(render_changes(changes, against.name))
    click.echo("\n".join(parts))
    for path in _write(results / f"{_today()}{'-networks' if TRANSFER in plan.runtimes else ''}", documents, parts):
        click.echo(f"wrote {path}")
    return passes(lines, plan.mean_limit) and not failed and not regressions(changes)


def _measure_all(plan: Plan) -> tuple[list[dict[str, Any]], list[str]]:
    """The networks' documents, and the names of those that could not be measured; Ctrl-C keeps complete results."""
    documents: list[dict[str, Any]] = []
    failed: list[str] = []
    for network in plan.networks:
        try:
            document = _measure(plan, network)
        except (KeyboardInterrupt, CancelledError):
            break
        except TvmoptError as error:
            # One failed network must not lose hours of measurements.
            click.echo(f"{network}: {error}", err=True)
            failed.append(network)
            continue
        documents.append(document)
        if not document["complete"]:
            break
    return documents, failed


def _profile(bench: LayerBench, results: Path | None) -> None:
    """Profiles the networks and prints where we lose; also writes the profiles if `results` is given."""
    documents = []
    try:
        for document in profile_networks(bench, EchoSteps()):
            documents.append(document)
            click.echo(losses_of(document))
        if results is not None:
            results.mkdir(parents=True, exist_ok=True)
            for path in write_profiles(documents, results / f"{_today()}-layers"):
                click.echo(f"wrote {path}")
    except TvmoptError as error:
        raise click.ClickException(str(error)) from None


def _measure(plan: Plan, network: str) -> dict[str, Any]:
    """One network on all batch sizes and thread counts."""
    options = CompareOptions(
        model_of(network),
        plan.runtimes,
        batches=plan.batches.get(network, (1,)),
        threads=plan.threads,
        logs=(plan.logs,),
        tune_trials=plan.trials,
        measure=MeasureOptions(rounds=plan.rounds),
    )
    return run_comparison(options, EchoSteps())


def model_of(network: str) -> str:
    """MODEL with a relative path, since measurement files record it as given."""
    if network in never_tuned.NAMES:
        return never_tuned.model_of(network)
    return f"{os.path.relpath(shipped('models') / f'{network}.py')}:build"


def _write(stem: Path, documents: Sequence[dict[str, Any]], parts: Sequence[str]) -> tuple[Path, Path]:
    stem.parent.mkdir(parents=True, exist_ok=True)
    json_file, table_file = (stem.with_name(f"{stem.name}{suffix}") for suffix in (".json", ".md"))
    write_document(to_suite(documents), json_file)
    environment = documents[0]["environment"]
    write_text("\n".join([f"{environment['cpu']}, {environment['os']}\n", *parts]), table_file)
    return json_file, table_file


def _today() -> str:
    """The stem of file names: the machine and the date."""
    facts = LOCAL.facts()
    return f"{facts.architecture}-{facts.isa}-{datetime.now(UTC).date().isoformat()}"


if __name__ == "__main__":
    main()
