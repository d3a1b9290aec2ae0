"""An evaluation from beginning to end: open the set, lay out the model, judge every runtime's outputs, compare."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.accuracy.entrant import Entrant, Setting
from tvmopt.benchmarks.accuracy.judgements import keep, recall
from tvmopt.benchmarks.accuracy.options import EvaluateOptions
from tvmopt.benchmarks.accuracy.rows import rows_of
from tvmopt.benchmarks.accuracy.subject import (
    Chosen,
    Subject,
    choose_data,
    lay_out,
    open_artifact,
    require_equal_preparation,
    subject_of,
)
from tvmopt.benchmarks.machine.environment import choose_cores, read_environment
from tvmopt.benchmarks.measurements.accuracy import Accuracy, Evaluation
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.registry import (
    find_runtime,
    recorded_packages,
    reference_runtimes,
    select_runtimes,
)
from tvmopt.benchmarks.workers.prepare import check_records
from tvmopt.benchmarks.workers.prepared_model import describe_model
from tvmopt.pipeline.data.batches import Prepared, prepare_samples
from tvmopt.pipeline.errors import CancelledError, OpenShapeError, UsageError
from tvmopt.pipeline.support.cache import Cache, open_cache
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.types import ImportedModel

ARTIFACT_SUFFIX = ".tar"
OURS = "tvmopt"
"""The runtime that runs artifacts."""

_CHUNK_BYTES, _CHUNK_SAMPLES = 8 << 20, 256
"""How much is judged between two safe points, at most."""


@dataclass(slots=True)
class Race:
    """All entrants, and their samples in chunks.

    Attributes:
        chosen: the set.
        entrants: in the order of their rows.
        references: names of the entrants that differences may be to, the best first; they are to the first that was
            judged.
        cache: where judgements are kept.
        fresh: whether those kept count for nothing.
    """

    chosen: Chosen
    entrants: Sequence[Entrant]
    references: Sequence[str]
    cache: Cache
    fresh: bool = False

    def chunks(self) -> list[range]:
        """The samples' numbers, in parts of whole batches of the first entrant's model."""
        signature = self.entrants[0].subject.signature
        nbytes = max(1, math.prod(signature.input.shape[1:]) * np.dtype(signature.input.dtype).itemsize)
        size = max(1, min(_CHUNK_SAMPLES, _CHUNK_BYTES // nbytes))
        size = -(-size // signature.batch) * signature.batch
        count = len(self.chosen.samples)
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    def run(self, steps: Steps) -> bool:
        """Judges every entrant on every sample; false when it was stopped before that.

        Raises:
            ModelInputError, InputFileError: samples, outputs and metric do not go together.
        """
        work: dict[range, list[Entrant]] = {}
        for chunk, entrant in self._work():
            work.setdefault(chunk, []).append(entrant)
        with ExitStack() as stack:
            try:
                for entrant in {id(one): one for part in work.values() for one in part}.values():
                    steps.begin(f"{entrant.title}, getting ready")
                    stack.callback(entrant.close)
                    entrant.start()
                for chunk, entrants in work.items():
                    steps.begin(f"samples {chunk.start + 1:,} to {chunk.stop:,} of {len(self.chosen.samples):,}")
                    self._judge(chunk, entrants, steps)
            except (KeyboardInterrupt, CancelledError):
                return False
        steps.end()
        self.cache.close()
        return True

    def count_steps(self) -> int:
        """How many steps `run` takes, at most."""
        return len(self.entrants) + len(self.chunks())

    def _work(self) -> Iterator[tuple[range, Entrant]]:
        """Chunks without kept judgements, each with an entrant; those that are kept are taken."""
        for entrant in self.entrants:
            entrant.check()
        for chunk in self.chunks():
            for entrant in self.entrants:
                if entrant.status != "ok":
                    continue
                kept = None if self.fresh else recall(self.cache, entrant.key(self.chosen, chunk))
                if kept is None:
                    yield chunk, entrant
                else:
                    entrant.take(kept)

    def _judge(self, chunk: range, entrants: Sequence[Entrant], steps: Steps) -> None:
        prepared: dict[int, Prepared] = {}
        for entrant in entrants:
            if entrant.status != "ok":
                continue
            key = id(entrant.subject)
            if key not in prepared:
                prepared[key] = prepare_samples(self.chosen.samples, chunk, entrant.subject.preprocessing)
            steps.listener.check()
            judgements = entrant.answer(prepared[key])
            if judgements is not None:
                entrant.take(judgements)
                keep(self.cache, entrant.key(self.chosen, chunk), judgements)


def run_evaluation(options: EvaluateOptions, listener: Listener | None = None) -> Evaluation:
    """Evaluates a model in every runtime.

    Ctrl-C or a listener's request to stop ends the run early; ``complete`` is false then. What was judged is kept, and
    another run goes on from there.

    Args:
        options: what to evaluate.
        listener: receives progress.

    Raises:
        UsageError: a runtime, metric or preset is unknown, or an option does not apply.
        InputFileError: the set, the model or a user's function cannot be used.
        ModelInputError: samples, labels and model do not go together.
        TvmoptError: any other error from importing the model or reading records.
        CancelledError: when the run is stopped before anything was judged.
    """
    artifact = options.model.endswith(ARTIFACT_SUFFIX)
    runtimes = (find_runtime(OURS),) if artifact else select_runtimes(options.runtimes)
    if artifact:
        _refuse_what_is_for_models(options)
    cores = choose_cores(options.threads)
    chosen = choose_data(options.data)
    check_records(runtimes, options.logs)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    steps = Steps(listener)
    with tempfile.TemporaryDirectory(prefix="tvmopt-evaluate-") as name:
        folder = Path(name)
        setting = Setting(cores, options.logs, folder)
        if artifact:
            steps.begin(f"reading {options.model}")
            subject = open_artifact(Path(options.model), chosen, _made(folder / "model"))
            entrants = [Entrant(runtimes[0], subject, "artifact", "tvmopt, this artifact", setting)]
            model = {"name": subject.name, "spec": Path(options.model).name, "kind": "artifact"}
            model |= {"sha256": subject.digest}
        else:
            subject = _subject(options, options.model, chosen, _made(folder / "model"), steps)
            entrants = entrants_of(subject, runtimes, setting)
            model = describe_model(_imported(subject))
        references: list[str] = []
        if options.against is not None:
            other = replace(options, input_shapes={}, input_values={})
            against = _subject(other, options.against, chosen, _made(folder / "against"), steps)
            require_equal_preparation(subject, against, options.data.preprocess)
            entrants.insert(0, _against(against, setting))
            references = [entrants[0].name]
        elif not artifact:
            references = references_of(subject)
        cache = open_cache() if options.results is None else Cache(options.results)
        race = Race(chosen, entrants, references, cache, options.fresh)
        complete = race.run(_counting(steps, race))
    if not complete and not any(entrant.tables for entrant in entrants):
        raise CancelledError
    environment = read_environment(recorded_packages())
    return Evaluation(created, complete, environment, model, accuracy_of(race))


def entrants_of(subject: Subject, runtimes: Sequence[Runtime], setting: Setting) -> list[Entrant]:
    """An entrant for each runtime, and for the model's reference, which comes first where it was not asked for."""
    names = [runtime.name for runtime in runtimes]
    reference = [find_runtime(name) for name in references_of(subject)[:1] if name not in names]
    return [Entrant(runtime, subject, runtime.name, runtime.title, setting) for runtime in (*reference, *runtimes)]


def accuracy_of(race: Race) -> Accuracy:
    """The rows of all entrants, once they are judged.

    Raises:
        InputFileError: none of the samples can be read, or a user's metric raises or returns no number.
    """
    judged = {entrant.name for entrant in race.entrants if entrant.tables}
    reference = next((name for name in race.references if name in judged), "")
    return rows_of(race.chosen, race.entrants, reference)


def references_of(subject: Subject) -> list[str]:
    """Names of the runtimes that may serve as the reference for the subject's model, the best first, and are there."""
    return [runtime.name for runtime in reference_runtimes(subject.kind) if runtime.missing(subject.kind) is None]


def _against(subject: Subject, setting: Setting) -> Entrant:
    runtime = find_runtime(references_of(subject)[0])
    return Entrant(runtime, subject, "against", f"{subject.name} in {runtime.title}", setting)


def _subject(options: EvaluateOptions, spec: str, chosen: Chosen, folder: Path, steps: Steps) -> Subject:
    steps.begin(f"importing {spec}")
    model = load(options, spec)
    runtimes = select_runtimes(options.runtimes)
    calibrate = any(runtime.quantized for runtime in runtimes) and spec == options.model
    return subject_of(lay_out(model, chosen, folder, calibrate), chosen)


def load(options: EvaluateOptions, spec: str) -> ImportedModel:
    """The model that `spec` names, at the batch size asked for; without one in its own, and 1 where that is open.

    Raises:
        TvmoptError: as `load_model`.
    """
    from tvmopt.pipeline.importers import load_model

    if options.batch is None:
        with suppress(OpenShapeError):
            return load_model(spec, options.input_shapes, None, None, options.input_values)
    return load_model(spec, options.input_shapes, options.batch or 1, None, options.input_values)


def _counting(steps: Steps, race: Race) -> Steps:
    """Steps that know how many there are."""
    return Steps(steps.listener, race.count_steps())


def _imported(subject: Subject) -> ImportedModel:
    assert subject.prepared is not None
    return subject.prepared.model


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _refuse_what_is_for_models(options: EvaluateOptions) -> None:
    others = [name for name in options.runtimes if name != OURS]
    if others:
        raise UsageError(f"an artifact runs in tvmopt alone; evaluate its model to see {', '.join(others)} too")
    given: dict[str, Any] = {
        "--batch": options.batch,
        "--input-shape": options.input_shapes,
        "--input-value": options.input_values,
    }
    for option, value in given.items():
        if value:
            raise UsageError(f"an artifact's inputs are fixed; {option} is for a model, not {options.model}")
