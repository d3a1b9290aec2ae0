"""``tvmopt compile``: a model and its records into an artifact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvmopt.cli.options import (
    OutputFile,
    input_shape_option,
    logs_option,
    model_argument,
    resolve_target,
    target_option,
    threads_option,
)

if TYPE_CHECKING:
    from rich.table import Table

    from tvmopt.pipeline.compiler.compile import CompileReport


@click.command()
@model_argument
@click.option("-o", "--output", type=OutputFile(".tar"), required=True, help="The artifact to write.")
@target_option
@logs_option
@threads_option
@input_shape_option
@click.option(
    "--transfer/--no-transfer",
    default=True,
    show_default=True,
    help="Let records of related kernels choose for those that have none.",
)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="First dimension of every input.")
def command(
    model: str,
    output: Path,
    target: str,
    logs: Path,
    threads: int | None,
    input_shape: Mapping[str, tuple[int, ...]],
    transfer: bool,
    batch: int | None,
) -> None:
    """Build MODEL into an artifact that runs on the target.

    Every kernel uses the best record that matches it exactly; or else what records of related kernels suggest, where
    they leave no doubt that it is faster; or else its default schedule. The table says which. The artifact needs TVM's
    runtime only, and has golden inputs and outputs for `tvmopt run --check`.
    """
    wanted = resolve_target(target, threads)
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.stores import open_records
    from tvmopt.pipeline.compiler.compile import compile_model
    from tvmopt.pipeline.compiler.native.linker import linker_of
    from tvmopt.pipeline.importers import load_model

    # What is wrong with these shows now, not after a minute of work.
    linker_of(wanted)
    records = open_records(logs)
    console = make_console()
    with console.status("importing") as status:
        imported = load_model(model, input_shape, batch)
        status.update("compiling")
        report = compile_model(imported, wanted, records, output, transfer)
    if wanted.is_gpu:
        console.print(f"{len(report.imported_layers)} layers scheduled by TVM's GPU rules")
    else:
        console.print(table(report))
        counts = Counter(choice.origin for choice in report.choices)
        moved = f"{counts['transfer']} by transfer from related records, " if counts["transfer"] else ""
        told = f"{counts['record']} of {len(report.choices)} kernels from records, {moved}the rest with their defaults"
        console.print(told)
        if report.imported_layers:
            console.print(f"without a template, scheduled by the last rule: {', '.join(report.imported_layers)}")
    console.print(f"{output} ({output.stat().st_size / 2**20:.1f} MiB) for {wanted.key}")


def table(report: CompileReport) -> Table:
    """One row a kernel: layer, times it runs, record, transfer or default, the algorithm and its config."""
    from rich.table import Table

    from tvmopt.cli.consoles import shortened

    rows = Table(box=None, header_style="bold")
    for name in ("kernel", "layer", "runs", "from", "latency", "algorithm", "config"):
        rows.add_column(name, justify="right" if name in ("runs", "latency") else "left", no_wrap=True)
    for choice in report.choices:
        latency = "" if choice.latency_s is None else f"{choice.latency_s * 1e6:.0f} µs"
        config = " ".join(f"{knob} {value}" for knob, value in choice.knobs.items())
        task = choice.task
        rows.add_row(
            task.name, shortened(task.layers), str(task.weight), choice.origin, latency, choice.algorithm, config
        )
    return rows
