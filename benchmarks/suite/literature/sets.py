"""Measures the networks of the literature: ``nox -s bench -- --literature [renault|classification|dli]``.

Each set has a file in benchmarks/: ours beside PyTorch or another original, and beside the best peer, with the limits
that hold. A set takes about five minutes on two idle cores; nothing is tuned, so kernels come from records, by transfer
or by default. The set ``dli`` is one network from five sources (`literature.dli`).
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import click

from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document, write_text
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.statistics import ratio_of_medians
from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.benchmarks.measurements.verdicts import TRANSFER
from tvmopt.benchmarks.runtimes.registry import peers
from tvmopt.benchmarks.suite.literature import dli
from tvmopt.benchmarks.suite.network_table import (
    in_ms,
    latency_of,
    mark,
    mean_speed,
    row_of,
    summarize_comparison,
)
from tvmopt.benchmarks.suite.steps import EchoSteps, fitting_threads
from tvmopt.pipeline.errors import CancelledError, did_you_mean
from tvmopt.pipeline.support.shipped import shipped

BEST = "best peer"
"""Stands for the fastest peer where a limit names a runtime."""

CAFFE = "literature/caffe_"
WRITTEN = (CAFFE, "literature/mxnet_")
"""How MODEL begins where a function writes a network's files for Caffe or MXNet, which are measured."""

CALLS = {"tvmopt-called": "`run` from Python", "tvmopt-bound": "bound, inputs written from Python"}
"""Runtimes of ours that measure the whole call, for a network that takes less time than a call."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A network of a set.

    Attributes:
        name: in the table.
        model: MODEL below models/.
        limits: by runtime, or `BEST`: how many times its latency ours must be at least.
        calls: further runtimes of ours with a row each, and what they call in it.
    """

    name: str
    model: str
    limits: Mapping[str, float]
    calls: Mapping[str, str] = field(default_factory=dict)


def _classifiers() -> tuple[Entry, ...]:
    files = {
        "networks": (
            *("alexnet", "squeezenet1_0", "squeezenet1_1", "vgg16", "vgg19", "googlenet"),
            *("resnet50", "resnet101", "resnet152", "densenet121", "densenet161", "densenet169"),
            *("mobilenet_v1", "mobilenet_v2", "se_resnet50"),
        ),
        "inception": ("inception_v3", "inception_v4", "inception_resnet_v2"),
    }
    return tuple(
        Entry(name, f"{CAFFE}{file}.py:{name}", {BEST: 0.95}) for file, names in files.items() for name in names
    )


SETS: Mapping[str, tuple[Entry, ...]] = {
    "renault": (
        Entry("fc_dnn", "fc_dnn.py:build", {"pytorch": 15.0}, CALLS),
        Entry("cs_lstm, 6 vehicles", "literature/cs_lstm.py:vehicles_6", {"pytorch": 5.0}),
        Entry("cs_lstm, 16 vehicles", "literature/cs_lstm.py:vehicles_16", {"pytorch": 5.0}),
        Entry("cs_lstm, 38 vehicles", "literature/cs_lstm.py:vehicles_38", {"pytorch": 6.0, BEST: 2.0}),
        Entry("mobilenet_ssd", f"{CAFFE}ssd.py:mobilenet_ssd", {BEST: 1.1}),
        Entry("mobilenet_ssd of MXNet", "literature/mxnet_ssd.py:mobilenet_ssd", {"mxnet": 3.0, "mxnet-hybrid": 3.0}),
    ),
    "classification": _classifiers(),
}
"""The sets, by the stem of their files."""

MEAN_LIMITS = {"classification": 1.15}
"""Minimum geometric mean of the best peers' latencies over ours."""

SKIPPED = ("pytorch-compile", "mnn", "ncnn")
"""Peers that the classifiers are not measured with unless they are named: a set should take minutes."""

_FOLDER = Path(__file__).resolve().parents[2]


@click.command()
@click.argument("sets", type=click.Choice((*SETS, dli.SET)), nargs=-1)
@click.option("--network", "chosen", multiple=True, metavar="NAME", help="Only these, or these sources; repeatable.")
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--rounds", type=click.IntRange(min=5), default=5, show_default=True, help="Turns of each runtime.")
@click.option("--iterations", type=click.IntRange(min=5), default=1000, show_default=True, help="Requests of dli.")
@click.option("--peer", type=click.Choice(peers()), multiple=True, help="Repeatable.  [default: most of them]")
@click.option("--results", type=click.Path(path_type=Path), default=_FOLDER, help="Folder for the tables.")
def main(sets: tuple[str, ...], chosen: tuple[str, ...], threads: int, rounds: int, **options: object) -> None:
    """Measure the SETS of networks of the literature, print and write a table for each."""
    fitting_threads((threads,))
    results, given = options["results"], options["peer"]
    assert isinstance(results, Path)
    results.mkdir(parents=True, exist_ok=True)  # before minutes of measuring
    assert isinstance(given, tuple)
    iterations = options["iterations"]
    assert isinstance(iterations, int)
    known = [*dli.ORIGINALS, *(entry.name for entries in SETS.values() for entry in entries)]
    for unknown in set(chosen) - set(known):
        raise click.BadParameter(did_you_mean("network", unknown, known), param_hint="--network")
    for name in sets or (*SETS, dli.SET):
        if name == dli.SET:
            sources = dli.measure_sources(chosen, threads, rounds, iterations)
            measured = {one.name: one.comparison for one in sources if one.comparison}
            how = f"{threads} thread(s), {iterations} sequential requests"
            _write(results / f"{name}.md", measured, how, dli.render_sources(sources))
            continue
        entries = [entry for entry in SETS[name] if not chosen or entry.name in chosen]
        rivals = given or tuple(peer for peer in peers() if name == "renault" or peer not in SKIPPED)
        measured, failures = measure(entries, CompareOptions("", (*rivals, TRANSFER), threads=(threads,)), rounds)
        text = render(entries, measured, MEAN_LIMITS.get(name), failures)
        _write(results / f"{name}.md", measured, f"{threads} thread(s), {rounds} rounds", text)


def _write(path: Path, measured: Mapping[str, Comparison], how: str, text: str) -> None:
    """Prints a table, and writes it if anything was measured."""
    click.echo(text)
    if measured:
        environment = next(iter(measured.values())).environment
        head = f"# {path.stem}\n\n{environment['cpu']}, {environment['os']}, {how}\n"
        write_text(f"{head}\n{text}", path)


def measure(
    entries: Sequence[Entry], options: CompareOptions, rounds: int
) -> tuple[dict[str, Comparison], dict[str, str]]:
    """The comparisons, and why others failed, by the networks' names; Ctrl-C keeps those that are done."""
    done: dict[str, Comparison] = {}
    failed: dict[str, str] = {}
    for entry in entries:
        # A folder for each, since the files of all are 3 GB.
        with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
            runtimes = (*options.runtimes, *entry.calls)
            measure = MeasureOptions(rounds=rounds)
            try:
                wanted = replace(options, model=_model(entry, Path(folder)), runtimes=runtimes, measure=measure)
                done[entry.name] = from_document(run_comparison(wanted, EchoSteps()))
            except (KeyboardInterrupt, CancelledError):
                break
            except dli.FAILURES as error:
                failed[entry.name] = dli.in_one_line(error)
    return done, failed


def _model(entry: Entry, folder: Path) -> str:
    """MODEL of a network, with a relative path; one of Caffe or MXNet is written to `folder` first."""
    models = shipped("models")
    if not entry.model.startswith(WRITTEN):
        return os.path.relpath(models) + "/" + entry.model
    path, _, function = entry.model.partition(":")
    sys.path.insert(0, str((models / path).parent))
    try:
        return str(getattr(importlib.import_module(Path(path).stem), function)().save(folder / function))
    finally:
        sys.path.pop(0)


def render(
    entries: Sequence[Entry],
    measured: Mapping[str, Comparison],
    mean_limit: float | None,
    failures: Mapping[str, str] | None = None,
) -> str:
    """The table in Markdown, with missed limits in bold, and below it why something is missing."""
    lines = [
        "| network | tvmopt ms | PyTorch ms | best peer | its ms | over PyTorch | over best peer | limits | error |",
        f"|{'---|' * 9}",
    ]
    summaries = []
    reasons = [f"- {name}: {reason}" for name, reason in (failures or {}).items()]
    for entry in entries:
        if entry.name not in measured:
            lines.append(f"| {entry.name} | not measured |{' |' * 7}")
            continue
        comparison = measured[entry.name]
        (line,) = summarize_comparison(comparison)
        reasons += [f"- {entry.name}: {reason}" for reason in _reasons(entry, comparison)]
        rows = {row.runtime: row for row in comparison.measurements if row.status == "ok"}
        ours = rows.get(TRANSFER)
        if ours is None:
            lines.append(f"| {entry.name} | failed |{' |' * 7}")
            continue
        summaries.append(line)
        found = {name: ratio_of_medians(latency_of(row), latency_of(ours))[0] for name, row in rows.items()}
        if line.speed is not None:
            found[BEST] = line.speed
        original = rows.get("pytorch")
        cells = (
            *(entry.name, in_ms(line.ours_s), in_ms(latency_of(original).median if original else None)),
            *(line.peer or "–", in_ms(line.peer_s), _number(found.get("pytorch")), _number(line.speed)),
            *(_limits(entry, found), "–" if line.error is None else f"{line.error:.1e}"),
        )
        lines += [row_of(cells), *_call_rows(entry, rows)]
    mean = mean_speed(summaries)
    if mean is not None and mean_limit:
        worst = min(line.speed for line in summaries if line.speed is not None)
        kept = mark(mean, mean >= mean_limit, "{:.3f}")
        lines += ["", f"Geometric mean over the best peers (≥ {mean_limit:g}): {kept}; worst {worst:.2f}."]
    return "\n".join([*lines, *([""] if reasons else []), *reasons]) + "\n"


def _reasons(entry: Entry, comparison: Comparison) -> Iterator[str]:
    """Why a runtime that the entry needs was not measured."""
    rows = {row.runtime: row for row in comparison.measurements}
    for name in (TRANSFER, *entry.calls, *(limited for limited in entry.limits if limited != BEST)):
        row = rows.get(name)
        if row is None:
            yield f"it was not measured with {name}"
        elif row.status != "ok":
            yield f"{name} {row.status}: {row.message}"


def _call_rows(entry: Entry, rows: Mapping[str, Measurement]) -> list[str]:
    """Rows for the `calls`; PyTorch's time always is that of a call from Python, with its inputs in tensors."""
    lines = []
    for name, title in entry.calls.items():
        ours, original = rows.get(name), rows.get("pytorch")
        if ours is None:
            lines.append(f"| {entry.name}, {title} | failed |{' |' * 7}")
            continue
        found = {"pytorch": ratio_of_medians(latency_of(original), latency_of(ours))[0]} if original else {}
        error = ours.output_error
        cells = (
            *(f"{entry.name}, {title}", in_ms(latency_of(ours).median)),
            *(in_ms(latency_of(original).median if original else None), "–", "–", _number(found.get("pytorch")), "–"),
            *(_limits(entry, found), "–" if error is None else f"{error.relative:.1e}"),
        )
        lines.append(row_of(cells))
    return lines


def _limits(entry: Entry, found: Mapping[str, float]) -> str:
    """Each limit and what was reached."""
    parts = []
    for name, limit in entry.limits.items():
        if name not in found:
            parts.append(f"{name} ≥ {limit:g}: not measured")
        else:
            parts.append(mark(found[name], found[name] >= limit, f"{name} ≥ {limit:g}: {{:.2f}}"))
    return "; ".join(parts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


if __name__ == "__main__":
    main()
