"""A model as it is evaluated: how samples become its inputs, and how its outputs are judged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.measurements.options import DataOptions
from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.tvmopt.untuned import ARTIFACT
from tvmopt.benchmarks.workers.prepared_model import PreparedModel, batch_of, write_calibration, write_subject
from tvmopt.pipeline.data.batches import Prepared, some_inputs
from tvmopt.pipeline.data.labelled.sample_set import LabelledSet
from tvmopt.pipeline.data.metrics.metric import Judge, Metric, Signature
from tvmopt.pipeline.data.metrics.registry import open_for
from tvmopt.pipeline.data.preprocessing import Preprocessing, choose_preprocessing
from tvmopt.pipeline.data.user_function import names_function
from tvmopt.pipeline.errors import InputFileError, ModelInputError, UsageError
from tvmopt.pipeline.importers.registry import importer_of
from tvmopt.pipeline.support.fit import listed_results
from tvmopt.pipeline.support.npz import save_arrays
from tvmopt.pipeline.types import ImportedModel, TensorSpec

CALIBRATION_SAMPLES = 64
"""How many samples INT8 runtimes are calibrated on."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A labelled set, opened.

    Attributes:
        samples: those to evaluate.
        calibration: those to calibrate on: others where there are some.
        metric: the metric.
        options: what was asked for.
    """

    samples: LabelledSet
    calibration: LabelledSet
    metric: Metric
    options: DataOptions

    @property
    def origin(self) -> str:
        """The samples in words."""
        return f"{len(self.samples):,} samples of {self.samples.path.name} ({self.samples.form})"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model and a set.

    Attributes:
        name: the model's.
        kind: that of its importer; ``artifact`` for an artifact.
        digest: a hash of the model.
        signature: what the model takes and gives.
        preprocessing: how samples become inputs.
        judge: how outputs are judged.
        job: makes a runtime's job for a number of threads and folders of records.
        prepared: its files; None for an artifact.
    """

    name: str
    kind: str
    digest: str
    signature: Signature
    preprocessing: Preprocessing
    judge: Judge
    job: Callable[[Runtime, int, Sequence[Path]], Job]
    prepared: PreparedModel | None = None


def choose_data(options: DataOptions) -> Chosen:
    """Opens the set, and takes the samples that `options` ask for.

    Raises:
        UsageError: there is no such metric, or the set has no labels for it.
        InputFileError: the set or the user's function cannot be used.
        RuntimeMissingError: pictures are read by Pillow, which is not installed.
    """
    whole, metric = open_for(options.path, options.metric)
    samples = whole.random_part(options.samples, options.seed)
    taken = set(samples.names)
    others = [place for place, name in enumerate(whole.names) if name not in taken]
    calibration = whole.part(others) if len(others) >= CALIBRATION_SAMPLES else samples
    return Chosen(samples, calibration.random_part(CALIBRATION_SAMPLES, seed=1), metric, options)


def signature_of(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> Signature:
    """What a model takes and gives.

    Raises:
        ModelInputError: it has not exactly one input, or that has no batch.
    """
    if len(inputs) != 1 or not inputs[0].shape:
        listed = ", ".join(f"{spec.name} {spec.shape}" for spec in inputs) or "none"
        raise ModelInputError(f"labelled samples are for models with one input, the batch first; this one has {listed}")
    return Signature(inputs[0], tuple(outputs))


def subject_of(prepared: PreparedModel, chosen: Chosen) -> Subject:
    """The model of `prepared`, set up for `chosen`.

    Raises:
        ModelInputError: samples, labels and model do not go together.
        UsageError, InputFileError: as `choose_preprocessing`.
    """
    model = prepared.model
    signature = signature_of(model.inputs, model.results)
    return Subject(
        name=model.name,
        kind=model.source.kind,
        digest=model.sha256,
        signature=signature,
        preprocessing=preprocessing_of(model, chosen),
        judge=chosen.metric.fit(chosen.samples, signature),
        job=prepared.job,
        prepared=prepared,
    )


def preprocessing_of(model: ImportedModel, chosen: Chosen) -> Preprocessing:
    """How samples become inputs of `model`.

    Raises:
        ModelInputError, UsageError, InputFileError: as `choose_preprocessing` and `signature_of`.
    """
    spec = signature_of(model.inputs, model.results).input
    return choose_preprocessing(chosen.options.preprocess, spec, chosen.samples, model.source.kind)


def lay_out(model: ImportedModel, chosen: Chosen, folder: Path, calibrate: bool) -> PreparedModel:
    """Writes the model, a first input, and data to calibrate on.

    Args:
        model: the model at its batch size.
        chosen: the set.
        folder: an empty folder to write to.
        calibrate: whether INT8 runtimes take part.

    Raises:
        ModelInputError: the samples do not fit the model.
        InputFileError: none of the samples can be read.
    """
    spec, batch, preprocessing = model.inputs[0], batch_of(model), preprocessing_of(model, chosen)
    inputs = some_inputs(chosen.calibration, max(batch, CALIBRATION_SAMPLES), preprocessing)
    if not len(inputs):
        raise InputFileError(f"{chosen.samples.path}: none of {len(chosen.calibration)} samples can be read")
    feeds = [{spec.name: array} for _, array in Prepared(tuple(range(len(inputs))), inputs, {}).batches(batch)]
    subject = write_subject(model, batch, folder, feeds[0], f"samples of {chosen.samples.path.name}")
    if calibrate:
        write_calibration(subject, feeds, f"{len(inputs)} samples of {chosen.samples.path.name}")
    return subject


def open_artifact(path: Path, chosen: Chosen, folder: Path) -> Subject:
    """An artifact, set up for `chosen`, in the first of its sizes.

    Raises:
        InputFileError, RuntimeMissingError: it cannot be read, or cannot run here.
        UsageError: it is compiled for a GPU.
        ModelInputError: samples, labels and model do not go together.
    """
    from tvmopt.pipeline.artifact.format import read_parts
    from tvmopt.pipeline.artifact.loaded import check_machine

    parts = read_parts(path)
    manifest = parts.manifest
    if manifest["target"]["isa"] == "cuda":
        raise UsageError(f"{path} is compiled for a GPU, but only code for CPUs can be evaluated here")
    check_machine(path, manifest)
    signature = signature_of(_specs(manifest["inputs"]), _specs(listed_results(manifest)))
    inputs = folder / "inputs.npz"
    save_arrays(inputs, parts.inputs)
    (folder / ARTIFACT).symlink_to(path.resolve())
    outputs = tuple(spec.name for spec in signature.outputs)

    def job(_runtime: Runtime, threads: int, _logs: Sequence[Path]) -> Job:
        return Job("", str(inputs), outputs, signature.batch, threads, str(folder))

    kind = source_kind(manifest)
    return Subject(
        name=str(manifest["model"]["name"]),
        kind="artifact",
        digest=file_digest(path),
        signature=signature,
        preprocessing=choose_preprocessing(chosen.options.preprocess, signature.input, chosen.samples, kind),
        judge=chosen.metric.fit(chosen.samples, signature),
        job=job,
    )


def source_kind(manifest: Mapping[str, Any]) -> str:
    """The kind of importer that takes the file that an artifact was compiled from; ``artifact`` where none does."""
    importer = importer_of(Path(str(manifest["model"]["source"])))
    return importer.kind if importer else "artifact"


def require_equal_preparation(subject: Subject, against: Subject, asked: str | None) -> None:
    """Checks that two models that are compared get the same inputs, where the user did not say which.

    A model of bytes and one of floats get different ones by nature.

    Args:
        subject: the one model.
        against: the other.
        asked: the preprocessing that the user asked for.

    Raises:
        UsageError: both take floats, and what is usual differs.
    """
    floats = all(one.signature.input.dtype.startswith("float") for one in (subject, against))
    names = [one.preprocessing.name for one in (subject, against)]
    if asked is None and floats and names[0] != names[1]:
        raise UsageError(
            f"pictures for {subject.name} would be prepared as {names[0]} ({subject.preprocessing.why}), for "
            f"{against.name} as {names[1]} ({against.preprocessing.why}): give --preprocess with what both are trained "
            "with"
        )


def data_digest(subject: Subject, chosen: Chosen) -> list[Any]:
    """What decides the judgements of a subject's outputs, besides the runtime."""
    asked = chosen.options.preprocess
    code = file_digest(Path(asked.rpartition(":")[0])) if asked and names_function(asked) else ""
    signature = [list(subject.signature.input.shape), *(list(spec.shape) for spec in subject.signature.outputs)]
    samples, calibration = chosen.samples, chosen.calibration
    # A list of classes numbers the labels; notes say which output is read, and where classes begin.
    labels = [samples.fingerprint, list(samples.classes), chosen.metric.key, list(subject.judge.notes)]
    return [subject.digest, signature, subject.preprocessing.name, code, labels, calibration.fingerprint]


def file_digest(path: Path) -> str:
    """A hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _specs(entries: Sequence[Any]) -> list[TensorSpec]:
    return [TensorSpec(str(entry["name"]), tuple(entry["shape"]), str(np.dtype(entry["dtype"]))) for entry in entries]
