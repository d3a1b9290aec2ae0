"""Turns any model that is taken into one verified ONNX model.

In reading order: `source` (what the user named); `python_file` and `pytorch` with `torch_names`, `torch_quiet` and
`torch_check` (a factory's module to ONNX); `pt2_archive` (whether a `.pt2` file is safe); `onnx` with `tensors`,
`shapes` and `batch` (files from anywhere, made static); `operators` (what is supported); `normalize` with `cleanup`,
`layers` and `values` (the form our passes start from); `survey` (that form as far as it goes, and all that is in the
way); `verify` with `samples` and `sessions` (that all forms compute the same). `lines` fits other programs' messages
into one line.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.errors import TvmoptError
from pipeline.importers.source import model_name, parse_source
from pipeline.types import ImportedModel, ModelSource

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from pipeline.importers.shapes import ShapeRequest
    from pipeline.importers.survey import Survey

__all__ = ["example_inputs", "load_model", "parse_source", "survey_model"]


def load_model(
    spec: str, input_shapes: Mapping[str, tuple[int, ...]] | None = None, batch: int | None = None
) -> ImportedModel:
    """Imports a model and checks the import.

    Args:
        spec: ``file.onnx``, ``file.pt2`` or ``path/file.py:factory``.
        input_shapes: a shape for each input that is to have another than the file says, or that is dynamic there.
        batch: the first dimension of every input that shares it with the first input.

    Returns:
        The model with static shapes, in its own form and normalised; both were run and computed the same, and the
        same as PyTorch where it came from there.

    Raises:
        UsageError: `spec`, `input_shapes` or `batch` make no sense, or name something that the model does not have.
        InputFileError: the file cannot be read.
        UnsupportedModelError: the model cannot be taken: operators, dtypes, dynamic shapes, size.
        WrongResultError: a step of the import changed what the model computes; names the first layer.
    """
    source = parse_source(spec)
    with _named(source):
        from pipeline.importers.shapes import ShapeRequest

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
        from pipeline.importers.shapes import ShapeRequest
        from pipeline.importers.survey import survey

        return source, survey(_read(source, ShapeRequest(dict(input_shapes or {})), check=False))


def surveyed_model(source: ModelSource, found: Survey) -> ImportedModel:
    """The model of a survey, whose values all have static shapes, as `load_model` would give it, but unchecked."""
    assert found.simplified is not None
    return _imported(source, found.original, found.simplified)


def example_inputs(model: ImportedModel, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs that fit `model`: standard normal floats, small integers that are valid indices, booleans.

    Args:
        model: an imported model.
        seed: the same seed gives the same arrays.
    """
    from pipeline.importers.samples import random_inputs

    return random_inputs(model.inputs, model.normalized.graph, seed)


@contextmanager
def _named(source: ModelSource) -> Iterator[None]:
    """Errors say first which model they are about, in one line, whatever stands in the names that its file gave."""
    try:
        yield
    except TvmoptError as error:
        message = "".join(char if char.isprintable() else "?" for char in " ".join(str(error).split()))
        raise type(error)(f"{source.spec}: {message}") from error


def _read(source: ModelSource, request: ShapeRequest, check: bool = True) -> onnx.ModelProto:
    """The model in ONNX with static inputs.

    With `check`, its operators are known to ONNX, and it computes what PyTorch does if it came from there. Without,
    nothing is run.
    """
    if source.kind == "onnx":
        from pipeline.importers.onnx import import_onnx

        return import_onnx(source.path, request, any_operator=not check)
    from pipeline.importers import pytorch
    from pipeline.importers.torch_check import check_against_framework

    if source.kind == "python":
        module, inputs = pytorch.load_module(source)
        export = pytorch.export_onnx(module, inputs, source, request, run=check)
        if check:
            check_against_framework(export)
        return export.model
    from pipeline.importers.batch import check_rebatched
    from pipeline.importers.shapes import make_static

    export = pytorch.export_program(pytorch.load_program(source), run=check)
    if check:
        check_against_framework(export)
    static = make_static(export.model, replace(request, defaults={k: x.shape for k, x in export.inputs.items()}))
    if request.batch is not None:
        check_rebatched(export.model, static)
    return static


def _finish(source: ModelSource, original: onnx.ModelProto) -> ImportedModel:
    """Normalises `original`, checks that nothing changed, and collects what there is to know."""
    from pipeline.importers.normalize import normalize
    from pipeline.importers.samples import random_inputs
    from pipeline.importers.values import tensor_spec
    from pipeline.importers.verify import check_normalized

    normalized = normalize(original)
    inputs = tuple(tensor_spec(value) for value in normalized.graph.input)
    check_normalized(original, normalized, random_inputs(inputs, normalized.graph))
    return _imported(source, original, normalized)


def _imported(source: ModelSource, original: onnx.ModelProto, normalized: onnx.ModelProto) -> ImportedModel:
    """Collects what there is to know of a model; `original` is given the outputs' shapes."""
    from pipeline.importers.values import tensor_spec

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
