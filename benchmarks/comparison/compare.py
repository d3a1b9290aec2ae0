"""A comparison from beginning to end: import, write files, measure every cell, judge."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvmopt.benchmarks.accuracy.entrant import Setting
from tvmopt.benchmarks.accuracy.evaluate import Race, accuracy_of, entrants_of, references_of
from tvmopt.benchmarks.accuracy.subject import Chosen, Subject, choose_data, lay_out, subject_of
from tvmopt.benchmarks.comparison.admission import Cell
from tvmopt.benchmarks.comparison.cell import count_steps, measure_cell
from tvmopt.benchmarks.machine.environment import choose_cores, read_environment
from tvmopt.benchmarks.machine.other_load import check_psutil
from tvmopt.benchmarks.machine.roofline import Roofline, measure_roofline
from tvmopt.benchmarks.measurements.accuracy import Accuracy
from tvmopt.benchmarks.measurements.files import to_document
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.options import CompareOptions
from tvmopt.benchmarks.measurements.types import Comparison, Measurement, Verdict
from tvmopt.benchmarks.measurements.verdicts import judge_rows
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.registry import recorded_packages, select_runtimes
from tvmopt.benchmarks.workers.prepare import check_records
from tvmopt.benchmarks.workers.prepared_model import (
    PreparedModel,
    add_reference,
    batch_of,
    describe_model,
    make_subject,
)
from tvmopt.pipeline.data.pictures import load_pictures
from tvmopt.pipeline.errors import CancelledError, OpenShapeError, TvmoptError
from tvmopt.pipeline.support.cache import open_cache
from tvmopt.pipeline.support.progress import Inside, Listener, Steps

if TYPE_CHECKING:
    from tvmopt.pipeline.types import ImportedModel


def run_comparison(options: CompareOptions, listener: Listener | None = None) -> dict[str, Any]:
    """Measures a model on every runtime.

    Ctrl-C or a listener's request to stop ends the run early: the document then has the complete results, and
    ``complete`` is false.

    Args:
        options: what to compare.
        listener: receives progress.

    Returns:
        The JSON document that `benchmarks.measurements.files` describes.

    Raises:
        UsageError: a runtime is unknown, or there are more threads than cores.
        RuntimeMissingError: when psutil is not installed.
        TvmoptError: any error from importing the model or reading the logs and pictures.
        CancelledError: when the run is stopped before anything is complete.
    """
    runtimes = select_runtimes(options.runtimes, options.streams)
    cores = choose_cores(max(options.threads))
    # Unreadable pictures or records end the run before it begins.
    if options.data is not None:
        load_pictures(options.data)
    chosen = choose_data(options.labelled) if options.labelled else None
    check_records(runtimes, options.logs)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    check_psutil()
    environment = read_environment(recorded_packages())
    run = _Run(options, runtimes, cores, listener or Listener(), chosen)
    with tempfile.TemporaryDirectory(prefix="tvmopt-compare-") as folder:
        try:
            complete = run.measure(Path(folder))
        except (KeyboardInterrupt, CancelledError):
            complete = False
    if not complete and not run.rows:
        raise CancelledError
    searched = {"search": asdict(options.search)} if options.search else {}
    comparison = Comparison(
        created=created,
        complete=complete,
        environment=environment,
        model=run.model,
        protocol=options.measure.to_json() | searched | {"cores": list(cores), "other_load": run.other_load},
        measurements=tuple(run.rows),
        verdicts=tuple(run.verdicts),
        layers=tuple(run.layers),
        accuracy=run.accuracy,
    )
    return to_document(comparison)


class _Run:
    """A running comparison, which keeps its results when interrupted."""

    def __init__(
        self,
        options: CompareOptions,
        runtimes: tuple[Runtime, ...],
        cores: tuple[int, ...],
        listener: Listener,
        chosen: Chosen | None,
    ) -> None:
        self.options = options
        self.runtimes = runtimes
        self.cores = cores
        self.chosen = chosen
        self.tunes = options.tune_trials > 0 and any(runtime.uses_records for runtime in runtimes)
        self.steps = Steps(listener, self._count_steps())
        self.rows: list[Measurement] = []
        self.verdicts: list[Verdict] = []
        self.layers: list[LayerTable] = []
        self.other_load: list[dict[str, float]] = []
        self.model: dict[str, Any] = {}
        self.subject: Subject | None = None
        self.accuracy: Accuracy | None = None

    def measure(self, folder: Path) -> bool:
        """Measures all cells, batch size by batch size; false when one was stopped early."""
        rooflines = self._measure_rooflines()
        for batch in self.options.batches or (None,):
            subject = self._lay_out(batch, folder)
            for threads in self.options.threads:
                if self.tunes:
                    self.steps.begin(f"{subject.model.name}, batch {subject.batch}, {threads} threads: tuning")
                    for model in self._tuned(subject, threads):
                        self._tune(model, threads)
                result = measure_cell(self._cell(subject, threads, rooflines.get(threads)), self.steps)
                self.rows += result.rows
                self.layers += [result.layers] if result.layers else []
                self.verdicts += judge_rows(result.rows, subject.reference)
                self.other_load.append({"batch": subject.batch, "threads": threads, "busy_cores": result.busy_cores})
                if not result.whole:
                    return False
        self.steps.end()
        return self._judge(folder)

    def _judge(self, folder: Path) -> bool:
        """Judges the outputs of the runtimes that were measured, if there is a labelled set; false when stopped."""
        if self.chosen is None or self.subject is None:
            return True
        right = {row.runtime for row in self.rows if row.latency_s is not None}
        runtimes = [runtime for runtime in self.runtimes if runtime.name in right]
        setting = Setting(self.cores, self.options.logs, folder)
        entrants = entrants_of(self.subject, runtimes, setting)
        references = (str(self.model["reference"]), *references_of(self.subject))
        race = Race(self.chosen, entrants, references, open_cache())
        complete = race.run(Steps(self.steps.listener, race.count_steps()))
        if any(entrant.tables for entrant in entrants):
            self.accuracy = accuracy_of(race)
        return complete

    def _count_steps(self) -> int:
        options = self.options
        batches, threads = len(options.batches or (None,)), len(options.threads)
        of_a_cell = self.tunes + count_steps(
            len(self.runtimes), options.measure, layers=options.layers, search=options.search is not None
        )
        return 2 * batches + batches * threads * of_a_cell + (threads if options.layers else 0)

    def _measure_rooflines(self) -> dict[int, Roofline]:
        """The machine's roofline for each thread count; empty unless layers are requested."""
        rooflines = {}
        for threads in self.options.threads if self.options.layers else ():
            self.steps.begin(f"the machine's roofline, {threads} thread{'s' if threads > 1 else ''}")
            rooflines[threads] = measure_roofline(threads)
        return rooflines

    def _tuned(self, subject: PreparedModel, threads: int) -> Iterator[ImportedModel]:
        """The networks that runtimes compile with records: the model, and what they make of it."""
        from tvmopt.pipeline.importers import load_model

        makers = [runtime for runtime in self.runtimes if runtime.uses_records and not runtime.missing()]
        others = [] if subject.quantized else [runtime for runtime in makers if runtime.compiles]
        if len(others) < len(makers):
            yield subject.model
        for runtime in others[:1]:
            assert runtime.compiles is not None
            try:
                made = runtime.compiles(subject.job(runtime, threads, self.options.logs))
                model = load_model(str(made), inputs=self.options.inputs)
            except CancelledError:
                raise
            except TvmoptError:  # the runtime's row says why
                continue
            yield model

    def _tune(self, model: ImportedModel, threads: int) -> None:
        """Tunes the model for a number of threads; the records go to the first folder of logs."""
        from tvmopt.pipeline.tuning.search import INTERRUPTED, TuneOptions
        from tvmopt.pipeline.tuning.tune_model import tune_model
        from tvmopt.schedules.target import parse_target

        options, target = TuneOptions(trials=self.options.tune_trials), parse_target("llvm", threads)
        summary = tune_model(model, target, self.options.logs[0], options, Inside(self.steps.listener))
        if summary.stopped == INTERRUPTED:
            raise CancelledError

    def _cell(self, subject: PreparedModel, threads: int, roofline: Roofline | None) -> Cell:
        options = self.options
        cores = self.cores[:threads]
        return Cell(subject, self.runtimes, cores, options.logs, options.measure, roofline, options.search)

    def _lay_out(self, asked: int | None, folder: Path) -> PreparedModel:
        """Imports the model at one batch size, its own if none was asked for, and computes its reference outputs."""
        options = self.options
        self.steps.begin(f"importing {options.model}" + (f", batch {asked}" if asked else ""))
        model = _load(options, asked)
        batch = asked or batch_of(model)
        place = folder / f"batch-{batch}"
        place.mkdir()
        calibrate = any(runtime.quantized for runtime in self.runtimes)
        if self.chosen is None:
            subject = make_subject(model, batch, place, options, calibrate)
        else:
            subject = lay_out(model, self.chosen, place, calibrate)
            self.subject = self.subject or subject_of(subject, self.chosen)
        self.steps.begin(f"{model.name}, batch {batch}: reference outputs")
        add_reference(subject, self.cores, options.measure.ready_timeout_s)
        self.model = self.model or _describe(subject)
        return subject


def _load(options: CompareOptions, batch: int | None) -> ImportedModel:
    """The model at a batch size, in the precision that is wanted."""
    from tvmopt.pipeline.importers.precision import in_precision

    return in_precision(_as_given(options, batch), options.precision, options.inputs)


def _as_given(options: CompareOptions, batch: int | None) -> ImportedModel:
    """The model at a batch size; without one in its own sizes, and for a batch of 1 if it leaves that open."""
    from tvmopt.pipeline.importers import load_model

    if batch is None:
        with suppress(OpenShapeError):
            return load_model(options.model, options.input_shapes, None, options.inputs, options.input_values)
    return load_model(options.model, options.input_shapes, batch or 1, options.inputs, options.input_values)


def _describe(subject: PreparedModel) -> dict[str, Any]:
    """The ``model`` of the document; shapes are those of the first batch size."""
    model = subject.model
    specs = {"inputs": model.inputs, "outputs": model.results}
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
        "checked_against": model.checked_against,
        "unchecked": model.unchecked,
    }
