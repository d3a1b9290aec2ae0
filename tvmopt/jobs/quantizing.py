"""Quantising a model to integers of 8 bits, within an accuracy that the user sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvmopt.jobs.settings import resolve_target
from tvmopt.pipeline.data.calibration import Calibration, Wanted, open_calibration
from tvmopt.pipeline.data.metrics.metric import Signature
from tvmopt.pipeline.data.metrics.registry import open_for
from tvmopt.pipeline.errors import TvmoptError, UsageError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.quantize.accuracy import LabelledTest
from tvmopt.pipeline.quantize.quantize_model import QuantizedModel, QuantizeOptions, quantize_model, step_count
from tvmopt.pipeline.quantize.through_nncf import require_nncf
from tvmopt.pipeline.quantize.types import finite
from tvmopt.pipeline.quantize.weight_bits import usual_weight_bits
from tvmopt.pipeline.support.files import replaced
from tvmopt.pipeline.support.interrupts import ctrl_c_cancels
from tvmopt.pipeline.support.progress import Listener, Steps
from tvmopt.pipeline.support.weights.light_model import serialized
from tvmopt.pipeline.types import ImportedModel


@dataclass(frozen=True, slots=True)
class QuantizeJob:
    """What to quantise.

    Attributes:
        model: ``file.onnx``, ``file.pt2``, ``path/file.py:factory`` or another form that `load_model` takes.
        output: the .onnx file to write.
        data: a labelled set, a folder of pictures, or an .npz file with an array of samples for each input; the
            photographs that scikit-learn ships when None.
        preprocess: how pictures become inputs: a preset or ``path.py:function``; what suits the model when None.
        samples: on how many samples ranges of values are found.
        max_drop: by how much the metric may be lower than the original's, such as 0.005 for half a percentage point of
            top-1; None for whatever it is. It needs labels.
        metric: ``top1``, ``top5``, ``map``, ``miou`` or ``path.py:function``; what suits the labels when None.
        validation_samples: on how many labelled samples accuracy is measured; all when None.
        weight_bits: 7 or 8; what suits the target when None.
        in_float: names of layers that stay in float.
        target: the machine that is to run the model: a target's name, or TVM's target as JSON.
        input_shapes: shapes of the model's inputs by name, where it leaves them open.
        batch: first dimension of every input; the model's own when None.
        input_values: values of inputs that become constants.
        seed: of the choice of samples.
    """

    model: str
    output: Path
    data: Path | None = None
    preprocess: str | None = None
    samples: int = 300
    max_drop: float | None = None
    metric: str | None = None
    validation_samples: int | None = None
    weight_bits: int | None = None
    in_float: tuple[str, ...] = ()
    target: str = "llvm"
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batch: int | None = None
    input_values: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class QuantizeResult:
    """The result of quantising.

    Attributes:
        quantized: the model, and what quantising cost.
        weight_bits: how many bits its weights use; depthwise convolutions' use 8.
        data: what ranges of values were found on, in words.
        preprocessing: how pictures became inputs, and why so where the user did not say; None without pictures.
        notes: what a reader must know, one line each.
    """

    quantized: QuantizedModel
    weight_bits: int
    data: str
    preprocessing: tuple[str, str] | None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        found = self.quantized
        before, after = found.weights_nbytes
        return {
            "version": 1,
            "model": found.model.name,
            "weight_bits": self.weight_bits,
            "data": self.data,
            "preprocessing": self.preprocessing and self.preprocessing[0],
            "skipped": found.skipped,
            "constants_bytes": {"before": before, "after": after},
            "accuracy": None if found.accuracy is None else found.accuracy.to_json(),
            "layers": [layer.to_json() for layer in found.layers],
            "outputs": {name: {"sqnr_db": finite(noise.decibels)} for name, noise in found.outputs.items()},
            "notes": list(self.notes),
        }


def quantize(job: QuantizeJob, listener: Listener | None = None) -> QuantizeResult:
    """Quantises a model with NNCF and writes it as ONNX in QDQ form, which every other command takes.

    Args:
        job: what to quantise.
        listener: receives each step and sample; may request a stop, which takes effect before the next sample. The file
            is written whole or not at all.

    Returns:
        What quantising cost: the layers in float, errors, sizes, accuracy where there are labels.

    Raises:
        CancelledError: the job was stopped; there is no file.
        UsageError: an option is wrong, or the model needs data of its own.
        RuntimeMissingError: NNCF, or what reads pictures, is not installed.
        InputFileError: the model or the data cannot be read, or the file cannot be written.
        ModelInputError: the data do not fit the model.
        UnsupportedModelError: the model cannot be imported, is quantised already, or has nothing to quantise.
        WrongResultError: accuracy cannot be kept within the drop; or the import of a model changed what it computes.
    """
    target = resolve_target(job.target)
    bits = usual_weight_bits(target) if job.weight_bits is None else job.weight_bits
    require_nncf()
    if job.data is None and (job.max_drop is not None or job.metric is not None):
        raise UsageError("accuracy can be measured only on samples with labels: give --data a labelled set")
    with ctrl_c_cancels(), Steps(listener) as steps:
        steps.begin("importing")
        model = load_model(job.model, job.input_shapes, job.batch, None, job.input_values)
        calibration = open_calibration(
            Wanted(model.inputs, model.source.kind, job.data, job.preprocess, job.samples, job.seed)
        )
        test, notes = _test(job, model, calibration)
        options = QuantizeOptions(calibration.feeds, bits, job.in_float, test, job.max_drop)
        steps.of = 1 + step_count(options)
        found = quantize_model(model, options, job.output, steps)
        with replaced(job.output) as file:
            for piece in serialized(found.model.original):
                file.write(piece)
    if found.accuracy is not None:
        notes += found.accuracy.notes
    how = None if calibration.preprocessing is None else (calibration.preprocessing.name, calibration.preprocessing.why)
    return QuantizeResult(found, bits, calibration.origin, how, notes)


def _test(
    job: QuantizeJob, model: ImportedModel, calibration: Calibration
) -> tuple[LabelledTest | None, tuple[str, ...]]:
    """What accuracy is measured on, where the data have labels; in a note why it is not, or what serves twice.

    Raises:
        TvmoptError: accuracy was asked for, and cannot be measured.
    """
    asked = job.max_drop is not None or job.metric is not None
    if calibration.labelled is None or calibration.preprocessing is None or job.data is None:
        if asked:
            raise UsageError(f"accuracy can be measured only on samples with labels, which {job.data} does not have")
        return None, ("accuracy was not measured: the data have no labels",)
    try:
        samples, metric = open_for(job.data, job.metric)
        part = samples.random_part(job.validation_samples, job.seed)
        judge = metric.fit(part, Signature(model.inputs[0], model.results))
    except TvmoptError as error:
        if asked:
            raise
        return None, (f"accuracy was not measured: {error}",)
    names = tuple(spec.name for spec in model.results)
    percent = metric.needs is not None
    test = LabelledTest(part, calibration.preprocessing, model.inputs[0], names, judge, metric.title, percent)
    shared = len(calibration.names & set(part.names))
    note = f"accuracy is measured on {len(part)} samples, and {shared} of them are among those that ranges are from"
    return test, (note,) if shared else ()
