"""A model from what the user named: read, normalised, checked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.importers.registry import find_importer
from tvmopt.pipeline.importers.source import model_name, parse_source
from tvmopt.pipeline.types import ImportedModel, ModelSource

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
    from tvmopt.pipeline.importers.survey import Survey


def load_model(
    spec: str, input_shapes: Mapping[str, tuple[int, ...]] | None = None, batch: int | None = None
) -> ImportedModel:
    """Imports a model and checks the import.

    Args:
        spec: ``file.onnx``, ``file.pt2``, ``path/file.py:factory`` or another form that the registry lists.
        input_shapes: a shape for each input that is to have another than the file says, or that is dynamic there.
        batch: the first dimension of every input that shares it with the first input.

    Returns:
        The model with static shapes, in its own form and normalised; both were run and computed the same, and the
        same as the original framework where the source says which and it can be run.

    Raises:
        UsageError: `spec`, `input_shapes` or `batch` make no sense, or name something that the model does not have.
        InputFileError: the file cannot be read.
        UnsupportedModelError: the model cannot be taken: operators, dtypes, dynamic shapes, size.
        WrongResultError: a step of the import changed what the model computes; names the first layer.
    """
    source = parse_source(spec)
    with _named(source):
        from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest

        original = _read(source, ShapeRequest(dict(input_shapes or {}), batch))
        return _finish(source, original)


def survey_model(spec: str, input_shapes: Mapping[str, tuple[int, ...]] | None = None) -> tuple[ModelSource, Survey]:
    """Takes a model as far as that goes, without running it, and lists all that `load_model` would refuse.

    Args:
        spec: as `load_model`.
        input_shapes: as `load_model`.

    Returns:
        What the user named, and what became of it.

    Raises:
        UsageError, InputFileError: as `load_model`.
        UnsupportedModelError: there is no ONNX model with static inputs to look at.
    """
    source = parse_source(spec)
    with _named(source):
        from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
        from tvmopt.pipeline.importers.survey import survey

        return source, survey(_read(source, ShapeRequest(dict(input_shapes or {})), strict=False))


def surveyed_model(source: ModelSource, found: Survey) -> ImportedModel:
    """The model of a survey, whose values all have static shapes, as `load_model` would give it, but unchecked."""
    assert found.simplified is not None
    return _imported(source, found.original, found.simplified)


def example_inputs(model: ImportedModel, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs that fit `model`: standard normal floats, small integers that are valid indices, booleans.

    Args:
        model: an imported model.
        seed: the same seed gives the same arrays.

    Returns:
        An array for each input by name, in the model's shapes and dtypes.

    Raises:
        UnsupportedModelError: when the inputs take more bytes than are allowed.
    """
    from tvmopt.pipeline.importers.check.random_inputs import random_inputs

    return random_inputs(model.inputs, model.normalized.graph, seed)


@contextmanager
def _named(source: ModelSource) -> Iterator[None]:
    """Errors say first which model they are about, in one line, whatever stands in the names that its file gave."""
    try:
        yield
    except TvmoptError as error:
        message = "".join(char if char.isprintable() else "?" for char in " ".join(str(error).split()))
        raise type(error)(f"{source.spec}: {message}") from error


def _read(source: ModelSource, request: ShapeRequest, strict: bool = True) -> onnx.ModelProto:
    """The model in ONNX with static inputs.

    When `strict`, its operators are known to ONNX, and it computes what its framework does if its importer can tell.
    Otherwise, nothing is run.
    """
    from tvmopt.pipeline.importers.check.batch import check_rebatched
    from tvmopt.pipeline.importers.onnx_form.shapes import make_static

    importer = find_importer(source.kind)
    form = importer.load(source, request, strict)
    if strict and importer.check is not None:
        importer.check(form)
    if form.request is None:
        return form.model
    static = make_static(form.model, form.request)
    if form.request.batch is not None:
        check_rebatched(form.model, static)
    return static


def _finish(source: ModelSource, original: onnx.ModelProto) -> ImportedModel:
    """Normalises `original`, checks that nothing changed, and collects what there is to know."""
    from tvmopt.pipeline.importers.check.normalized import check_normalized
    from tvmopt.pipeline.importers.check.random_inputs import random_inputs
    from tvmopt.pipeline.importers.onnx_form.normalize import normalize
    from tvmopt.pipeline.importers.onnx_form.values import tensor_spec

    normalized = normalize(original)
    inputs = tuple(tensor_spec(value) for value in normalized.graph.input)
    check_normalized(original, normalized, random_inputs(inputs, normalized.graph))
    return _imported(source, original, normalized)


def _imported(source: ModelSource, original: onnx.ModelProto, normalized: onnx.ModelProto) -> ImportedModel:
    """Collects what there is to know of a model; `original` is given the outputs' shapes."""
    from tvmopt.pipeline.importers.onnx_form.values import tensor_spec

    del original.graph.value_info[:]  # what follows from the rest does not belong into the hash
    del original.graph.output[:]
    original.graph.output.extend(normalized.graph.output)  # the same, with the shapes that were inferred
    return ImportedModel(
        name=model_name(source),
        source=source,
        original=original,
        normalized=normalized,
        inputs=tuple(tensor_spec(value) for value in normalized.graph.input),
        outputs=tuple(tensor_spec(value) for value in normalized.graph.output),
        sha256=hashlib.sha256(original.SerializeToString(deterministic=True)).hexdigest(),
    )
