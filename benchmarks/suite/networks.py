"""Measures the project's performance targets: ``python -m tvmopt.benchmarks.suite`` (`nox -s bench`).

It compares tvmopt with its peers on the suite's networks, all in turn: its latency with that of each network's best
peer, its peak memory with onnxruntime's, its outputs with PyTorch's. It writes all measurements as JSON, and the table
as Markdown. ``--short`` takes three networks and few rounds; ``--networks`` takes networks of many kinds that were
never tuned; ``--int8`` takes eleven networks in INT8; ``--against`` reports what became slower than earlier results;
``--layers`` instead reports the layers that our time goes to.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document, read_comparisons, to_suite, write_document, write_text
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.measurements.verdicts import TRANSFER, TUNED, UNTUNED
from tvmopt.benchmarks.runtimes.registry import peers
from tvmopt.benchmarks.suite import never_tuned
from tvmopt.benchmarks.suite.int8.networks import NETWORKS as INT8_NETWORKS
from tvmopt.benchmarks.suite.int8.networks import OURS as INT8_OURS
from tvmopt.benchmarks.suite.int8.networks import SAMPLES, int8_peers
from tvmopt.benchmarks.suite.int8.table import float_limit, passes_int8, render_int8, summarize_int8
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
@click.option("--int8", is_flag=True, help="Networks in INT8, each runtime with its own quantiser.")
@click.option("--short", is_flag=True, help=f"{', '.join(SHORT_NETWORKS)}; {SHORT_ROUNDS} rounds; batch 1.")
@click.option("--threads", type=click.IntRange(min=1), multiple=True, default=(1, 2), help="Repeatable.")
@click.option("--trials", type=click.IntRange(min=0), default=0, show_default=True, help="Tune each line first.")
@click.option("--logs", type=click.Path(path_type=Path), default=shipped("tuning_logs"), help="Tuning records.")
@click.option(
    "--peer",
    type=click.Choice((*peers(), *int8_peers())),
    multiple=True,
    metavar="NAME",
    help="Repeatable.  [default: all; with --networks three; with --int8 those in INT8]",
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
@click.option(
    "--processor-time",
    is_flag=True,
    help="Count the time on the cores, waiting threads included, in place of elapsed time: for machines that are busy.",
)
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
    int8 = settings["int8"]
    if sum((untuned, int8, short)) > 1:
        raise click.UsageError(
            "--short does not go with --networks, nor --int8 with either; name some with --network instead"
        )
    suite = _never_tuned() if untuned else _int8() if int8 else _short() if short else _whole()
    networks = chosen or suite.networks
    given = {name for name in settings if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    if settings["layers"]:
        for name in ("trials", "rounds", "peer", "against", "check", "processor_time"):
            if name in given:
                option = name.replace("_", "-")
                raise click.UsageError(f"--{option} does not go with --layers, which only profiles")
        _profile(LayerBench(tuple(map(model_of, networks)), counts, settings["logs"]), settings["results"])
        return
    measure = replace(
        suite.measure,
        rounds=settings["rounds"] if "rounds" in given else suite.measure.rounds,
        clock="processor" if settings["processor_time"] else "wall",
    )
    runtimes = (*(settings["peer"] or suite.peers), *suite.ours)
    plan = Plan(
        replace(suite, networks=networks, measure=measure), counts, settings["trials"], settings["logs"], runtimes
    )
    reached = _compare(plan, settings["results"] or _RESULTS, settings["against"])
    if settings["check"] and not reached:
        raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class Judged:
    """The table of a suite's results, in Markdown, and whether all limits hold."""

    table: str
    passed: bool


@dataclass(frozen=True, slots=True)
class Suite:
    """Networks, what they are measured with, and how they are judged.

    Attributes:
        networks: names of files in models/, or of `never_tuned.NAMES`.
        peers: the runtimes that ours are compared with.
        ours: our runtimes.
        batches: batch sizes of the networks that are not measured at batch size 1 only.
        measure: how to measure.
        judge: makes the table.
        suffix: of the names of the files.
    """

    networks: tuple[str, ...]
    peers: tuple[str, ...]
    ours: tuple[str, ...]
    batches: Mapping[str, tuple[int, ...]]
    measure: MeasureOptions
    judge: Callable[[Sequence[Comparison]], Judged]
    suffix: str = ""


def _whole() -> Suite:
    return Suite(
        NETWORKS, peers(), (UNTUNED, TUNED), BATCHED, MeasureOptions(rounds=ROUNDS), partial(_judge, MEAN_LIMIT)
    )


def _short() -> Suite:
    return replace(_whole(), networks=SHORT_NETWORKS, batches={}, measure=MeasureOptions(rounds=SHORT_ROUNDS))


def _never_tuned() -> Suite:
    judge = partial(_judge, NEVER_TUNED_MEAN_LIMIT)
    kept = replace(_whole(), networks=never_tuned.NAMES, peers=never_tuned.PEERS, ours=(TRANSFER,))
    return replace(kept, judge=judge, suffix="-networks")


def _int8() -> Suite:
    measure = MeasureOptions(rounds=ROUNDS, calibration_samples=SAMPLES)
    return Suite(INT8_NETWORKS, int8_peers(), INT8_OURS, {}, measure, _judge_int8, "-int8")


def _judge(mean_limit: float, comparisons: Sequence[Comparison]) -> Judged:
    lines = [line for comparison in comparisons for line in summarize_comparison(comparison)]
    return Judged(render_table(lines, mean_limit), passes(lines, mean_limit))


def _judge_int8(comparisons: Sequence[Comparison]) -> Judged:
    lines = [line for comparison in comparisons for line in summarize_int8(comparison)]
    limit = float_limit(comparisons[0].environment["isa"])
    return Judged(render_int8(lines, limit), passes_int8(lines, limit))


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure.

    Attributes:
        suite: the networks.
        threads: thread counts.
        trials: tuning trials before each cell.
        logs: folder of tuning records.
        runtimes: the runtimes to measure, peers first.
    """

    suite: Suite
    threads: tuple[int, ...]
    trials: int
    logs: Path
    runtimes: tuple[str, ...]


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
    judged = plan.suite.judge(comparisons)
    parts = [judged.table, render_settings(comparisons)]
    if plan.suite.measure.clock == "processor":
        parts.insert(0, "Times are those of the processor, which threads that wait take, too.\n")
    if against:
        parts.append(render_changes(changes, against.name))
    click.echo("\n".join(parts))
    for path in _write(results / f"{_today()}{plan.suite.suffix}", documents, parts):
        click.echo(f"wrote {path}")
    return judged.passed and not failed and not regressions(changes)


def _measure_all(plan: Plan) -> tuple[list[dict[str, Any]], list[str]]:
    """The networks' documents, and the names of those that could not be measured; Ctrl-C keeps complete results."""
    documents: list[dict[str, Any]] = []
    failed: list[str] = []
    for network in plan.suite.networks:
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
        batches=plan.suite.batches.get(network, (1,)),
        threads=plan.threads,
        logs=(plan.logs,),
        tune_trials=plan.trials,
        measure=plan.suite.measure,
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
