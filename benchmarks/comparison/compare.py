"""A comparison from beginning to end: import, lay out, measure every cell in turn, judge."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvmopt.benchmarks.comparison.cell import Cell, count_steps, measure_cell
from tvmopt.benchmarks.machine.environment import choose_cores, read_environment
from tvmopt.benchmarks.machine.roofline import Roofline, measure_roofline
from tvmopt.benchmarks.measurements.files import to_document
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.options import CompareOptions, Listener
from tvmopt.benchmarks.measurements.types import Comparison, Measurement, Verdict
from tvmopt.benchmarks.measurements.verdicts import judge_rows
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.registry import recorded_packages, select_runtimes
from tvmopt.benchmarks.workers.prepare import check_records
from tvmopt.benchmarks.workers.prepared_model import Subject, add_reference, describe_model, make_subject
from tvmopt.pipeline.data.pictures import load_pictures

if TYPE_CHECKING:
    from tvmopt.pipeline.types import ImportedModel

Tune = Callable[["ImportedModel", int], None]
"""Tunes a model for a number of threads and leaves the records in the comparison's logs."""


def run_comparison(
    options: CompareOptions, listener: Listener | None = None, tune: Tune | None = None
) -> dict[str, Any]:
    """Measures a model on every runtime.

    Ctrl-C ends the run early: the document then has what was complete, and ``complete`` is false.

    Args:
        options: what is compared.
        listener: told of the progress.
        tune: called before each cell when ``options.tune_trials`` is not 0.

    Returns:
        The JSON document that `benchmarks.measurements.files` describes.

    Raises:
        UsageError: a runtime is unknown, or there are more threads than cores.
        TvmoptError: whatever importing the model or reading the logs and pictures raises.
        KeyboardInterrupt: when Ctrl-C comes before anything is complete.
    """
    runtimes = select_runtimes(options.runtimes)
    cores = choose_cores(max(options.threads))
    # Unreadable pictures or records end the run before it begins.
    if options.data is not None:
        load_pictures(options.data)
    check_records(runtimes, options.logs)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    environment = read_environment(recorded_packages())
    run = _Run(options, runtimes, cores, listener or Listener(), tune if options.tune_trials else None)
    with tempfile.TemporaryDirectory(prefix="tvmopt-compare-") as folder:
        try:
            complete = run.measure(Path(folder))
        except KeyboardInterrupt:
            complete = False
    if not complete and not run.rows:
        raise KeyboardInterrupt
    comparison = Comparison(
        created=created,
        complete=complete,
        environment=environment,
        model=run.model,
        protocol=options.measure.to_json() | {"cores": list(cores), "other_load": run.other_load},
        measurements=tuple(run.rows),
        verdicts=tuple(run.verdicts),
        layers=tuple(run.layers),
    )
    return to_document(comparison)


class _Run:
    """A comparison under way: what it has so far survives its interruption."""

    def __init__(
        self,
        options: CompareOptions,
        runtimes: tuple[Runtime, ...],
        cores: tuple[int, ...],
        listener: Listener,
        tune: Tune | None,
    ) -> None:
        self.options = options
        self.runtimes = runtimes
        self.cores = cores
        self.listener = listener
        self.tune = tune if any(runtime.uses_records for runtime in runtimes) else None
        self.rows: list[Measurement] = []
        self.verdicts: list[Verdict] = []
        self.layers: list[LayerTable] = []
        self.other_load: list[dict[str, float]] = []
        self.model: dict[str, Any] = {}

    def measure(self, folder: Path) -> bool:
        """Measures all cells, batch size by batch size; false when Ctrl-C ended one early."""
        self._announce()
        rooflines = self._measure_rooflines()
        for batch in self.options.batches:
            subject = self._lay_out(batch, folder)
            for threads in self.options.threads:
                if self.tune:
                    self.listener.step(f"{subject.model.name}, batch {batch}, {threads} threads: tuning")
                    self.tune(subject.model, threads)
                result = measure_cell(self._cell(subject, threads, rooflines.get(threads)), self.listener)
                self.rows += result.rows
                self.layers += [result.layers] if result.layers else []
                self.verdicts += judge_rows(result.rows, subject.reference)
                self.other_load.append({"batch": batch, "threads": threads, "busy_cores": result.busy_cores})
                if not result.whole:
                    return False
        return True

    def _announce(self) -> None:
        options = self.options
        batches, threads = len(options.batches), len(options.threads)
        of_a_cell = count_steps(len(self.runtimes), options.measure, options.layers) + (1 if self.tune else 0)
        self.listener.begin(2 * batches + batches * threads * of_a_cell + (threads if options.layers else 0))

    def _measure_rooflines(self) -> dict[int, Roofline]:
        """What the machine can do, for each thread count; nothing unless layers are asked for."""
        rooflines = {}
        for threads in self.options.threads if self.options.layers else ():
            self.listener.step(f"the machine's roofline, {threads} thread{'s' if threads > 1 else ''}")
            rooflines[threads] = measure_roofline(threads)
        return rooflines

    def _cell(self, subject: Subject, threads: int, roofline: Roofline | None) -> Cell:
        options = self.options
        return Cell(subject, self.runtimes, self.cores[:threads], options.logs, options.measure, roofline)

    def _lay_out(self, batch: int, folder: Path) -> Subject:
        """Imports the model at one batch size and computes what its outputs should be."""
        from tvmopt.pipeline.importers import load_model

        options = self.options
        self.listener.step(f"importing {options.model}, batch {batch}")
        model = load_model(options.model, options.input_shapes or None, batch)
        place = folder / f"batch-{batch}"
        place.mkdir()
        subject = make_subject(model, batch, place, options, any(runtime.quantized for runtime in self.runtimes))
        self.listener.step(f"{model.name}, batch {batch}: reference outputs")
        add_reference(subject, self.cores, options.measure.ready_timeout_s)
        self.model = self.model or _describe(subject)
        return subject


def _describe(subject: Subject) -> dict[str, Any]:
    """The ``model`` of the document; shapes are those of the first batch size."""
    model = subject.model
    specs = {"inputs": model.inputs, "outputs": model.outputs}
    return {
        **describe_model(model),
        **{
            name: [{"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype} for spec in group]
            for name, group in specs.items()
        },
        "input_data": subject.input_data,
        "calibration": subject.calibration_data,
        "reference": subject.reference,
        "reference_note": subject.reference_note,
    }
