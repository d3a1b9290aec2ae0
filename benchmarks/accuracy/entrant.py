"""One runtime in an evaluation: its worker process, and what its outputs are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path

import numpy as np

from tvmopt.benchmarks.accuracy.judgements import Judgements
from tvmopt.benchmarks.accuracy.key import judgements_key
from tvmopt.benchmarks.accuracy.subject import Chosen, Subject
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.workers.prepare import prepare_runtime
from tvmopt.benchmarks.workers.supervisor import WorkerError, WorkerHandle
from tvmopt.benchmarks.workers.worker import output_key
from tvmopt.pipeline.data.batches import Prepared
from tvmopt.pipeline.data.labelled.sample_set import UnreadableSampleError
from tvmopt.pipeline.data.metrics.metric import of_sample
from tvmopt.pipeline.support.cache import digest
from tvmopt.pipeline.support.npz import load_arrays, save_arrays

_READY_S, _ANSWER_S = 1800.0, 600.0


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a runtime runs.

    Attributes:
        cores: the cores that it is pinned to; their count is the number of threads.
        logs: folders of tuning records.
        folder: for what it exchanges with its worker.
    """

    cores: tuple[int, ...]
    logs: tuple[Path, ...]
    folder: Path


@dataclass(slots=True)
class Entrant:
    """A runtime with a model.

    Attributes:
        runtime: the runtime.
        subject: the model.
        name, title: of its row.
        setting: where it runs.
        tables: judgements by the number of the sample.
        skipped: why a sample cannot be read, by its number.
        status: as in `measurements.accuracy`.
        message: the reason for it.
    """

    runtime: Runtime
    subject: Subject
    name: str
    title: str
    setting: Setting
    tables: dict[int, np.ndarray] = field(default_factory=dict)
    skipped: dict[int, str] = field(default_factory=dict)
    status: str = "ok"
    message: str = ""
    _worker: WorkerHandle | None = None
    _key: str = ""

    def check(self) -> None:
        """Notes in `status` and `message` why it cannot take part, if so."""
        if self.subject.prepared is None:
            return
        kind = self.subject.kind
        runtime, threads = self.runtime, len(self.setting.cores)
        refusal = runtime.refusal(kind) or runtime.unfit() or runtime.too_few(threads)
        if refusal:
            self.status, self.message = "not_applicable", refusal
        elif missing := runtime.missing(kind):
            self.status, self.message = "unavailable", missing

    def key(self, chosen: Chosen, places: Sequence[int]) -> str:
        """The key of its judgements on the samples at `places`."""
        if not self._key:  # records and code are read once
            cores, logs = self.setting.cores, self.setting.logs
            self._key = judgements_key(self.runtime, self.subject, chosen, len(cores), logs)
        return digest(self._key, list(places))

    def start(self) -> None:
        """Prepares the runtime and loads the model in its process, or notes why it cannot."""
        cores, prepared = self.setting.cores, self.subject.prepared
        if prepared is not None:
            ready = prepare_runtime(prepared, self.runtime, cores, self.setting.logs, _READY_S)
            if ready.missing or ready.failure:
                self.status = "unavailable" if ready.missing else "failed"
                self.message = ready.missing or ready.failure
                return
        job = self.subject.job(self.runtime, len(cores), self.setting.logs)
        self._worker = WorkerHandle(self.runtime.name, cores, self.runtime.variables({}))
        self._ask({"do": "load", "job": job.to_json(), "outputs": str(self._file("first"))}, _READY_S)

    def answer(self, prepared: Prepared) -> Judgements | None:
        """Judgements on prepared samples; None where the runtime fails or gives other outputs, which it notes.

        Raises:
            ModelInputError: the outputs are not what the metric needs.
        """
        batch, spec = self.subject.signature.batch, self.subject.signature.input
        tables: dict[int, np.ndarray] = {}
        skipped = dict(prepared.skipped)
        batches = list(prepared.batches(batch))
        if not batches:
            return Judgements(tables, skipped)
        save_arrays(self._file("inputs"), {spec.name: np.stack([array for _, array in batches])})
        files = {"inputs": str(self._file("inputs")), "outputs": str(self._file("outputs"))}
        if not self._ask({"do": "infer", **files}, _ANSWER_S):
            return None
        made = load_arrays(self._file("outputs"))
        for number, (places, _) in enumerate(batches):
            outputs = _outputs_of(made, number)
            if misfit := self._misfit(outputs):
                self.status, self.message = "failed", misfit
                self.close()
                return None
            for at, place in enumerate(places):
                try:
                    tables[place] = self.subject.judge.judge(of_sample(outputs, at, batch), place)
                except UnreadableSampleError as error:
                    skipped[place] = str(error)
        return Judgements(tables, skipped)

    def _misfit(self, outputs: Sequence[np.ndarray]) -> str:
        """One line on what the outputs for a batch have that the model's do not; empty where they fit."""
        prepared, wanted = self.subject.prepared, self.subject.signature.outputs
        if len(outputs) != len(wanted):
            return f"it gave {len(outputs)} outputs, the model has {len(wanted)}"
        if prepared is None:
            return ""
        vary = {cut.name for cut in prepared.model.cuts}
        return next(
            (
                f"its output {spec.name} has shape {output.shape}, the model's {spec.shape}"
                for output, spec in zip(outputs, wanted, strict=True)
                if output.shape != spec.shape and spec.name not in vary
            ),
            "",
        )

    def take(self, judgements: Judgements) -> None:
        """Adds judgements to its own."""
        self.tables.update(judgements.tables)
        self.skipped.update(judgements.skipped)

    def close(self) -> None:
        """Ends its process."""
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    def _ask(self, command: dict[str, object], timeout_s: float) -> bool:
        """Whether the worker did what it was asked; else notes why, and ends it."""
        if self._worker is None:
            return False
        try:
            self._worker.ask(command, timeout_s)
        except WorkerError as error:
            self.status, self.message = "failed", str(error)
            self.close()
            return False
        self._worker.suspend()
        return True

    def _file(self, what: str) -> Path:
        return self.setting.folder / f"{self.name}-{what}.npz"


def _outputs_of(made: Mapping[str, np.ndarray], batch: int) -> list[np.ndarray]:
    """The outputs for one batch of those that a worker has saved, in order."""
    keys = takewhile(made.__contains__, (output_key(batch, place) for place in count()))
    return [made[key] for key in keys]
