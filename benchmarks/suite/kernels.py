"""Compares our kernels with the machine's limits: ``python -m tvmopt.benchmarks.suite.kernels``.

It compiles and profiles the example networks, without any peer, and checks each kernel against the limit of its class
(`benchmarks.suite.near_peak.classes`). It prints the classes, the gain of two threads, and the kernels below their
limit, largest loss first.

With ``--results`` it also writes the table as Markdown, and everything as JSON. Schema ``tvmopt-kernels``, version 1:
``created, environment, networks[]``, each with ``network``, ``peaks`` (FLOP/s by threads, one for each turn),
``scaling``, ``kernels[]``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvmopt.benchmarks.machine.environment import read_environment
from tvmopt.benchmarks.measurements.files import write_document, write_text
from tvmopt.benchmarks.runtimes.registry import recorded_packages
from tvmopt.benchmarks.suite import never_tuned
from tvmopt.benchmarks.suite.near_peak.classes import Kernel, Scaling
from tvmopt.benchmarks.suite.near_peak.measurement import KernelBench, measure_network
from tvmopt.benchmarks.suite.near_peak.table import render
from tvmopt.benchmarks.suite.networks import NETWORKS, model_of
from tvmopt.benchmarks.suite.steps import EchoSteps, fitting_threads
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.support.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tvmopt.pipeline.records.lookup import Records

SCHEMA = "tvmopt-kernels"
SCHEMA_VERSION = 1


@click.command()
@click.option(
    "--network",
    "networks",
    type=click.Choice((*NETWORKS, *never_tuned.NAMES)),
    multiple=True,
    metavar="NAME",
    help="Repeatable; one of the suite's, or of those that were never tuned.  [default: all of the suite]",
)
@click.option("--threads", type=click.IntRange(min=1), multiple=True, default=(1, 2), help="Repeatable.")
@click.option("--logs", type=click.Path(path_type=Path), default=shipped("tuning_logs"), help="Tuning records.")
@click.option("--seconds", type=click.FloatRange(min=0.1), default=1.5, show_default=True, help="Length of each turn.")
@click.option("--turns", type=click.IntRange(min=1), default=3, show_default=True, help="For each thread count.")
@click.option(
    "--processor-time",
    "on_processor",
    is_flag=True,
    help="Measure in processor time, the least of each kernel; for --threads 1 on a machine that others use.",
)
@click.option("--each", is_flag=True, help="List every kernel of a class, not only those below their limit.")
@click.option("--results", type=click.Path(path_type=Path), help="Folder for the files.  [default: none are written]")
def main(networks: tuple[str, ...], threads: tuple[int, ...], logs: Path, each: bool, **options: Any) -> None:
    """Measure our kernels inside the example networks, and print which miss their limit."""
    results = options.pop("results")
    counts = fitting_threads(threads)
    try:
        bench = KernelBench(counts, _records(logs), **options)
        found = Findings()
        for network in networks or NETWORKS:
            _measure(network, bench, found)
        text = render(found.kernels, found.scalings, each)
        click.echo(text)
        if results is not None:
            for path in _write(results, found, text):
                click.echo(f"wrote {path}")
    except TvmoptError as error:
        raise click.ClickException(str(error)) from None


@dataclass(slots=True)
class Findings:
    """The results so far.

    Attributes:
        kernels: the kernels of all networks.
        scalings: one for each network.
        networks: their entries in the file.
    """

    kernels: list[Kernel] = field(default_factory=list)
    scalings: list[Scaling] = field(default_factory=list)
    networks: list[dict[str, Any]] = field(default_factory=list)


def _records(logs: Path) -> Records:
    from tvmopt.pipeline.records.store import RecordStore

    store = RecordStore(logs)
    store.records()  # an unreadable log fails now
    return store


def _measure(network: str, bench: KernelBench, found: Findings) -> None:
    from tvmopt.pipeline.importers import load_model

    model = load_model(model_of(network))
    kernels, scaling, peaks = measure_network(model, bench, EchoSteps())
    found.kernels += kernels
    found.scalings.append(scaling)
    entry = {"network": network, "peaks": peaks, "scaling": scaling.to_json()}
    found.networks.append(entry | {"kernels": [kernel.to_json() for kernel in kernels]})


def _write(folder: Path, found: Findings, text: str) -> Sequence[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    facts = LOCAL.facts()
    stem = f"{facts.architecture}-{facts.isa}-{now.date().isoformat()}-kernels"
    json_file, text_file = folder / f"{stem}.json", folder / f"{stem}.md"
    environment = read_environment(recorded_packages())
    head = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "created": now.isoformat(timespec="seconds")}
    write_document(head | {"environment": environment, "networks": found.networks}, json_file)
    write_text(f"{environment['cpu']}, {environment['os']}\n\n{text}", text_file)
    return json_file, text_file


if __name__ == "__main__":
    main()
