"""A model at one batch size, written to disk for the workers: ONNX file, inputs, calibration data, reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.benchmarks.measurements.options import CompareOptions
from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.registry import reference_runtimes
from tvmopt.benchmarks.workers.supervisor import WorkerError, WorkerHandle
from tvmopt.pipeline.data.pictures import Pictures, crop_pictures, load_pictures, takes_pictures
from tvmopt.pipeline.errors import RuntimeMissingError, UsageError
from tvmopt.pipeline.support.npz import load_arrays, save_arrays
from tvmopt.pipeline.verification.quantized import values_behind

if TYPE_CHECKING:
    from tvmopt.pipeline.types import ImportedModel

RANDOM_INPUTS = "random numbers"
GIVEN_INPUTS = "the inputs given, or those of the model's factory"
ROUNDS = "it rounds to integers what the layers of the model read as floats"

Feeds = Callable[[int, int], list[dict[str, np.ndarray]]]
"""Takes a count and a seed; returns that many random feeds (arrays by input)."""

_INPUT_SEED = 0
_CALIBRATION_SEED = 1
_RECURRENT = ("LSTM", "GRU", "RNN")
# The maximum size of a Protocol Buffers message, with a margin.
_PROTOBUF_LIMIT_BYTES = 2**31 - 2**20


@dataclass(frozen=True, slots=True)
class Prepared:
    """The result of a runtime's ahead-of-time step.

    Attributes:
        seconds: how long it took, if it succeeded.
        missing: what was missing, one line, or empty.
        failure: why it failed, one line, or empty.
    """

    seconds: float | None = None
    missing: str = ""
    failure: str = ""


@dataclass(slots=True)
class PreparedModel:
    """A model to measure at one batch size.

    Attributes:
        model: the imported model.
        batch: its batch size.
        folder: the folder of all files below.
        onnx, inputs: files in the form that `Job` needs.
        input_data: a description of the inputs.
        calibration: the file of calibration data, or empty.
        calibration_data: a description of the INT8 calibration data, or empty.
        reference: name of the runtime whose outputs are the reference.
        reference_note: why it is not the original framework, or empty.
        reference_outputs: in the model's order.
        prepared: results of ahead-of-time steps, by folder.
    """

    model: ImportedModel
    batch: int
    folder: Path
    onnx: str
    inputs: str
    input_data: str
    calibration: str = ""
    calibration_data: str = ""
    reference: str = ""
    reference_note: str = ""
    reference_outputs: Sequence[np.ndarray] = ()
    prepared: dict[str, Prepared] = field(default_factory=dict)

    @property
    def quantized(self) -> bool:
        """Whether the model itself rounds to integers of few bits."""
        return bool(values_behind(self.model.original.graph))

    def job(
        self,
        runtime: Runtime,
        threads: int,
        logs: Sequence[Path] = (),
        parameters: Mapping[str, str] | None = None,
    ) -> Job:
        """The job of `runtime` on `threads` threads, with `parameters` instead of defaults; creates its folder."""
        suffix = "" if runtime.prepared == "per batch" else f"-{threads}t"
        folder = self.folder / f"{runtime.name}{suffix}"
        folder.mkdir(exist_ok=True)
        source = self.model.source
        return Job(
            onnx=self.onnx,
            inputs=self.inputs,
            outputs=tuple(spec.name for spec in self.model.results),
            batch=self.batch,
            threads=threads,
            folder=str(folder),
            source={
                "spec": source.spec,
                "kind": source.kind,
                "path": str(source.path),
                "factory": source.factory or "",
                "values": json.dumps(dict(source.values)),
            },
            calibration=self.calibration,
            logs=tuple(str(folder) for folder in logs),
            parameters=dict(parameters or {}),
            quantized=self.quantized,
        )


def batch_of(model: ImportedModel) -> int:
    """The first dimension of the model's first input, which is its batch; 1 where it is the time of a recurrent layer.

    Without an input, or with one of no dimension, it is 1, too.
    """
    size = max(1, model.inputs[0].shape[0]) if model.inputs and model.inputs[0].shape else 1
    return 1 if size > 1 and size in _steps(model) else size


def _steps(model: ImportedModel) -> set[int]:
    """How many steps the recurrent layers of the model make."""
    import onnx

    from tvmopt.pipeline.importers.onnx_form.normalize import infer_shapes
    from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
    from tvmopt.pipeline.support.weights.light_model import without_weights

    if not any(node.op_type in _RECURRENT for node in model.original.graph.node):
        return set()
    graph = infer_shapes(without_weights(model.original)).graph
    shapes = {value.name: tensor_spec(value).shape for value in (*graph.input, *graph.value_info)}
    steps = set()
    for node in graph.node:
        if node.op_type in _RECURRENT and node.input[0] in shapes:
            layout = next((onnx.helper.get_attribute_value(one) for one in node.attribute if one.name == "layout"), 0)
            steps.add(shapes[node.input[0]][layout])
    return steps


def make_subject(
    model: ImportedModel, batch: int, folder: Path, options: CompareOptions, calibrate: bool
) -> PreparedModel:
    """Writes the model, its inputs and optionally calibration data.

    Args:
        model: the model at the batch size to be measured.
        batch: that size.
        folder: an empty folder to write to.
        options: what to compare.
        calibrate: whether INT8 runtimes take part and need calibration data.

    Raises:
        UsageError: when pictures are given for a model that does not take pictures.
        InputFileError, RuntimeMissingError: when the pictures of ``options.data`` cannot be read.
    """
    batches = max(1, options.measure.calibration_samples // batch)
    pictures = _pictures(model, options.data)
    feeds, origin = _random_feeds(model) if pictures is None else _picture_feeds(model, pictures)
    subject = write_subject(model, batch, folder, feeds(1, _INPUT_SEED)[0], origin)
    if calibrate:
        write_calibration(subject, feeds(batches, _CALIBRATION_SEED), f"{batches * batch} samples: {origin}")
    return subject


def write_subject(
    model: ImportedModel, batch: int, folder: Path, inputs: Mapping[str, np.ndarray], origin: str
) -> PreparedModel:
    """Writes the model and its inputs.

    Args:
        model: the model at the batch size to be measured.
        batch: that size.
        folder: an empty folder to write to.
        inputs: an array for each input.
        origin: a description of the inputs.
    """
    onnx, path = folder / f"{model.name}.onnx", folder / "inputs.npz"
    _save_onnx(model, onnx)
    save_arrays(path, inputs)
    return PreparedModel(model, batch, folder, str(onnx), str(path), origin)


def write_calibration(subject: PreparedModel, feeds: Sequence[Mapping[str, np.ndarray]], origin: str) -> None:
    """Writes the data on which INT8 runtimes are calibrated.

    Args:
        subject: the model; keeps the file.
        feeds: an array for each input, for each batch.
        origin: a description of the data.
    """
    path = subject.folder / "calibration.npz"
    save_arrays(path, {name: np.stack([feed[name] for feed in feeds]) for name in feeds[0]})
    subject.calibration, subject.calibration_data = str(path), origin


def add_reference(subject: PreparedModel, cores: Sequence[int], timeout_s: float) -> None:
    """Runs the original framework, or else onnxruntime, once, and stores the reference outputs in `subject`.

    Raises:
        RuntimeMissingError: when not even onnxruntime can run the model.
    """
    note = ""
    rounds = bool(values_behind(subject.model.original.graph))
    for runtime in reference_runtimes(subject.model.source.kind):
        trouble = runtime.missing(subject.model.source.kind)
        if trouble is None:
            job = subject.job(runtime, len(cores))
            outputs = subject.folder / "reference.npz"
            try:
                with WorkerHandle(runtime.name, cores) as worker:
                    loaded = worker.ask({"do": "load", "job": job.to_json(), "outputs": str(outputs)}, timeout_s)
                trouble = ROUNDS if loaded["integers"] and not rounds else None
            except WorkerError as error:
                trouble = str(error)
        if trouble is None:
            subject.reference, subject.reference_note = runtime.name, note
            subject.reference_outputs = list(load_arrays(outputs).values())
            return
        note = f"{runtime.title} could not serve as the reference: {trouble}"
    raise RuntimeMissingError(note)


def describe_model(model: ImportedModel) -> dict[str, str]:
    """The ``model`` entry of a document: ``name, spec, kind, sha256``."""
    source = model.source
    # Documents are shared, so the folders of an absolute path stay private.
    spec = Path(source.spec).name if Path(source.spec).is_absolute() else source.spec
    return {"name": model.name, "spec": spec, "kind": source.kind, "sha256": model.sha256}


def _save_onnx(model: ImportedModel, path: Path) -> None:
    import onnx

    large = model.original.ByteSize() > _PROTOBUF_LIMIT_BYTES
    external: dict[str, Any] = {"location": f"{path.name}.data"} if large else {}
    onnx.save_model(model.original, str(path), save_as_external_data=large, **external)


def _pictures(model: ImportedModel, data: Path | None) -> Pictures | None:
    """The pictures to crop inputs from; None if the model takes no pictures or the sample photographs are missing."""
    if _are_given(model):
        if data is not None:
            raise UsageError("--data takes inputs from pictures, but the model runs on those of --inputs: give one")
        return None
    if not takes_pictures(model.inputs):
        if data is not None:
            shapes = ", ".join(f"{spec.name} {spec.shape} {spec.dtype}" for spec in model.inputs)
            raise UsageError(f"--data is for models with one float32 input of 1 or 3 channels; this one has {shapes}")
        return None
    try:
        return load_pictures(data)
    except RuntimeMissingError:
        if data is not None:
            raise
        return None


def _are_given(model: ImportedModel) -> bool:
    return any(draw.given is not None for draw in model.draws.values())


def _random_feeds(model: ImportedModel) -> tuple[Feeds, str]:
    from tvmopt.pipeline.importers import example_inputs

    # The seeds are far apart, so that calibration never uses the measured inputs unless they were given.
    return lambda count, seed: [example_inputs(model, seed=10_000 * seed + i) for i in range(count)], (
        GIVEN_INPUTS if _are_given(model) else RANDOM_INPUTS
    )


def _picture_feeds(model: ImportedModel, pictures: Pictures) -> tuple[Feeds, str]:
    (spec,) = model.inputs
    batch, channels, height, width = spec.shape

    def feeds(count: int, seed: int) -> list[dict[str, np.ndarray]]:
        crops = crop_pictures(pictures, count * batch, (channels, height, width), seed)
        return [{spec.name: part} for part in np.split(crops, count)]

    return feeds, pictures.origin
