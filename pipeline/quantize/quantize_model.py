"""Quantises an imported model and imports the result: what comes out, every command takes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from tvmopt.pipeline.data.calibration import Feed, Feeds
from tvmopt.pipeline.errors import UnsupportedModelError, UsageError, WrongResultError
from tvmopt.pipeline.importers.load import import_made
from tvmopt.pipeline.quantize.accuracy import Accuracy, Examiner, LabelledTest
from tvmopt.pipeline.quantize.float_form import float_form, has_attention
from tvmopt.pipeline.quantize.layer_errors import measure_errors
from tvmopt.pipeline.quantize.layers import layer_reports
from tvmopt.pipeline.quantize.through_nncf import NncfOptions, quantized, quantized_within, require_nncf
from tvmopt.pipeline.quantize.types import LayerReport, Noise
from tvmopt.pipeline.quantize.weight_bits import BITS, FULL
from tvmopt.pipeline.support.progress import PartDone, Steps
from tvmopt.pipeline.support.weights.light_model import weights_nbytes
from tvmopt.pipeline.types import ImportedModel

_COMPARED = 8
"""On how many feeds errors are measured: they are means over all elements of a result already."""


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """How to quantise.

    Attributes:
        feeds: inputs on which the ranges of values are found.
        weight_bits: 8, or 7 for runtimes whose sums of products saturate; depthwise convolutions have 8 always.
        in_float: names of layers that stay in float.
        test: what accuracy is measured on; None where there are no labels.
        max_drop: by how much the metric of `test` may be lower, in its own unit; None for whatever it is.
    """

    feeds: Feeds
    weight_bits: int = FULL
    in_float: tuple[str, ...] = ()
    test: LabelledTest | None = None
    max_drop: float | None = None


@dataclass(frozen=True, slots=True)
class QuantizedModel:
    """What quantising made.

    Attributes:
        model: in QDQ form, imported.
        layers: a report of each layer with weights, and of other products of matrices, in order.
        outputs: the error of each output of floats, by name.
        weights_nbytes: bytes of all constants, before and after.
        accuracy: before and after; None without a test.
        skipped: samples to calibrate on that could not be read.
    """

    model: ImportedModel
    layers: tuple[LayerReport, ...]
    outputs: dict[str, Noise]
    weights_nbytes: tuple[int, int]
    accuracy: Accuracy | None = None
    skipped: int = 0


def quantize_model(model: ImportedModel, options: QuantizeOptions, path: Path, steps: Steps) -> QuantizedModel:
    """Quantises `model`.

    Args:
        model: a model of float32.
        options: how.
        path: the .onnx file that the result will be written to.
        steps: gets as many steps as `step_count` says, and each sample of them.

    Raises:
        CancelledError: the job was stopped.
        UsageError: the options name layers that the model does not have, or a drop without a test.
        RuntimeMissingError: NNCF is not installed.
        UnsupportedModelError: the model is quantised already, has nothing to quantise, or NNCF fails.
        WrongResultError: accuracy cannot be kept within the drop, or the result does not compute what it should.
        InputFileError, ModelInputError: samples cannot be read, or do not fit the model.
    """
    require_nncf()
    _check(options)
    steps.begin("preparing")
    original = float_form(model.original)
    in_float = _known(original, options.in_float)
    examiner = None
    if options.test is not None:
        steps.begin(f"measuring {options.test.title} of the original")
        examiner = Examiner(options.test, original, lambda done, of: _tell(steps, "samples", done, of))
    steps.begin("quantising" if options.max_drop is None else "quantising, and measuring which layers cost accuracy")
    feeds = _Watched(options.feeds, steps)
    how = NncfOptions(feeds, options.weight_bits < FULL, has_attention(original), in_float)
    if examiner is None or options.max_drop is None:
        made = whole = quantized(original, how)
    else:
        made, whole = quantized_within(original, how, len(examiner.numbers), examiner.validate, options.max_drop)
    skipped = feeds.skipped
    layers = layer_reports(original, made, whole, in_float)
    if not any(layer.is_quantized for layer in layers):
        raise _nothing(layers, options)
    accuracy = None
    if examiner is not None:
        steps.begin(f"measuring {examiner.test.title}")
        accuracy = examiner.accuracy(made, made is not whole)
        _check_drop(accuracy, layers, options.max_drop)
    steps.begin("measuring the error of each layer")
    layers, outputs = measure_errors(layers, original, made, itertools.islice(feeds, _COMPARED))
    nbytes = weights_nbytes(original), weights_nbytes(made)
    return QuantizedModel(import_made(made, path), tuple(layers), outputs, nbytes, accuracy, skipped)


def step_count(options: QuantizeOptions) -> int:
    """How many steps `quantize_model` begins."""
    return 3 if options.test is None else 5


def _check(options: QuantizeOptions) -> None:
    if options.weight_bits not in BITS:
        raise UsageError(f"weights can have {' or '.join(map(str, BITS))} bits, got {options.weight_bits}")
    if options.max_drop is not None and options.test is None:
        raise UsageError("a drop of accuracy can be kept only on samples with labels: give a labelled set")
    if options.max_drop is not None and not 0.0 <= options.max_drop < 1.0:
        raise UsageError(f"the drop must be from 0 to below 1, got {options.max_drop:g}")


def _known(model: onnx.ModelProto, names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = set(names) - {node.name for node in model.graph.node}
    if unknown:
        raise UsageError(f"the model has no layer {', '.join(map(repr, sorted(unknown)))}")
    return names


def _nothing(layers: list[LayerReport], options: QuantizeOptions) -> Exception:
    if options.max_drop is not None:
        return WrongResultError(
            f"accuracy is lower by more than {options.max_drop:.2%} unless all {len(layers)} layers stay in float: "
            "allow a larger drop, or calibrate on more samples"
        )
    return UnsupportedModelError(f"nothing was quantised: {layers[0].in_float}" if layers else "nothing was quantised")


def _check_drop(accuracy: Accuracy, layers: list[LayerReport], max_drop: float | None) -> None:
    drop = -accuracy.difference.value
    if max_drop is None or drop <= max_drop + 1e-12:
        return
    kept = sum(not layer.is_quantized for layer in layers)
    raise WrongResultError(
        f"{accuracy.metric} is {drop:.2%} lower with {kept} of {len(layers)} layers in float, and {max_drop:.2%} is "
        "allowed: allow more, or calibrate on more samples"
    )


def _tell(steps: Steps, what: str, done: int, of: int) -> None:
    steps.listener.check()
    steps.listener.tell(PartDone(what, done, of))


class _Watched:
    """Feeds that say when they are taken, and end where the job is to stop."""

    def __init__(self, feeds: Feeds, steps: Steps) -> None:
        self._feeds, self._steps = feeds, steps

    @property
    def skipped(self) -> int:
        """As `Feeds.skipped`."""
        return self._feeds.skipped

    def __len__(self) -> int:
        return len(self._feeds)

    def __iter__(self) -> Iterator[Feed]:
        for done, feed in enumerate(self._feeds):
            _tell(self._steps, "samples", done, len(self._feeds))
            yield feed
