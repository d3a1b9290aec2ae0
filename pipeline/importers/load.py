"""Imports the model that the user names: reads, normalises and checks it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.importers.base import Checked, Importer, UncheckedError
from tvmopt.pipeline.importers.registry import find_importer
from tvmopt.pipeline.importers.source import model_name, parse_source
from tvmopt.pipeline.types import Draw, ImportedModel, ModelSource, cuts_of

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from tvmopt.pipeline.importers.base import OnnxForm
    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
    from tvmopt.pipeline.importers.survey import Survey


def load_model(
    spec: str,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    input_values: Mapping[str, tuple[float, ...]] | None = None,
) -> ImportedModel:
    """Imports a model and checks the import.

    Args:
        spec: ``file.onnx``, ``file.pt2``, ``path/file.py:factory`` or another form that the registry lists.
        input_shapes: a shape for each input that is dynamic in the file or should differ from it.
        batch: the new first dimension of every input whose first dimension equals the first input's.
        inputs: an array for each input, to check the import on; by default the factory's, or random ones that suit.
            They also give the sizes that the model and `input_shapes` leave open.
        input_values: values of inputs that become constants (``{"sr": (16000,)}``); layers that they decide fold away.

    Returns:
        The model with static shapes, as exported and normalised. Both were run and gave the same results, which also
        match the original framework's where the source names one that can be run.

    Raises:
        UsageError: `spec`, `input_shapes` or `batch` are invalid, or name something that the model does not have.
        InputFileError: the file cannot be read.
        UnsupportedModelError: the model is not supported: operators, dtypes, dynamic shapes, size.
        ModelInputError: `inputs` do not fit the model, or it does not run on them.
        WrongResultError: a step of the import changed what the model computes; names the first layer.
    """
    return _loaded(parse_source(spec, input_values), input_shapes, batch, inputs, None)


def load_parked(
    spec: str,
    folder: Path,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    input_values: Mapping[str, tuple[float, ...]] | None = None,
) -> ImportedModel:
    """As `load_model`, with the large weights of a large model parked in `folder` (`support.weights.parked`).

    Raises:
        TvmoptError: as `load_model`.
    """
    return _loaded(parse_source(spec, input_values), input_shapes, batch, None, folder)


def _loaded(
    source: ModelSource,
    input_shapes: Mapping[str, tuple[int, ...]] | None,
    batch: int | None,
    inputs: Mapping[str, np.ndarray] | None,
    folder: Path | None,
) -> ImportedModel:
    with _named(source):
        from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest

        request = ShapeRequest(dict(input_shapes or {}), batch, _sizes(inputs))
        original, examples, checked = _read(source, request, folder=folder)
        model = _finish(source, original, examples, inputs)
        return replace(model, checked_against=checked.against, unchecked=checked.unchecked)


def _sizes(inputs: Mapping[str, np.ndarray] | None) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in (inputs or {}).items()}


def load_onnx(
    spec: str, input_shapes: Mapping[str, tuple[int, ...]] | None = None, folder: Path | None = None
) -> tuple[onnx.ModelProto, Checked]:
    """The ONNX form of a model with static inputs and all shapes that follow, not normalised.

    Args:
        spec: as `load_model`.
        input_shapes: as `load_model`.
        folder: where to park the large weights of a large model (`support.weights.parked`); by default they stay in it.

    Returns:
        The model, and what it was checked against.

    Raises:
        UsageError, InputFileError, UnsupportedModelError, WrongResultError: as `load_model`.
    """
    source = parse_source(spec)
    with _named(source):
        from tvmopt.pipeline.importers.onnx_form.normalize import infer_shapes
        from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest

        original, _, checked = _read(source, ShapeRequest(dict(input_shapes or {})), folder=folder)
        return infer_shapes(original), checked


def import_made(made: onnx.ModelProto, path: Path) -> ImportedModel:
    """As `load_model` of the file at `path`, before `made` is written there.

    Args:
        made: a model in ONNX with static inputs and named nodes; its outputs get their shapes.
        path: an .onnx file that need not exist.

    Raises:
        UnsupportedModelError, WrongResultError: as `load_model`.
    """
    source = ModelSource(str(path), "onnx", path)
    with _named(source):
        return _finish(source, made, {}, None)


def survey_model(
    spec: str,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    input_values: Mapping[str, tuple[float, ...]] | None = None,
) -> tuple[ModelSource, Survey]:
    """Imports a model as far as possible, without running it, and lists everything that `load_model` would refuse.

    Args:
        spec: as `load_model`.
        input_shapes: as `load_model`.
        inputs: an array for each input; they only settle open shapes.
        input_values: as `load_model`.

    Returns:
        The source that the user named, and the survey of its model.

    Raises:
        UsageError, InputFileError: as `load_model`.
        UnsupportedModelError: there is no ONNX model with static inputs to look at.
    """
    source = parse_source(spec, input_values)
    with _named(source):
        from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
        from tvmopt.pipeline.importers.survey import survey

        request = ShapeRequest(dict(input_shapes or {}), None, _sizes(inputs))
        original = _read(source, request, strict=False)[0]
        return source, survey(original)


def surveyed_model(source: ModelSource, found: Survey) -> ImportedModel:
    """The surveyed model, whose values all have static shapes, as `load_model` would return it, but unchecked."""
    assert found.simplified is not None
    return _imported(source, found.original, found.simplified, {})


def example_inputs(model: ImportedModel, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs that `model` runs on: standard normal floats, small integers that are valid indices, booleans.

    Where the import found that the model needs others, they are drawn from what it found: values like those of a
    factory's example inputs, or the inputs that the user gave.

    Args:
        model: an imported model.
        seed: the same seed gives the same arrays.

    Returns:
        An array for each input by name, in the model's shapes and dtypes.

    Raises:
        UnsupportedModelError: when the inputs take more bytes than allowed.
    """
    from tvmopt.pipeline.importers.check.random_inputs import draw_inputs

    return draw_inputs(model.inputs, model.draws, seed)


@contextmanager
def _named(source: ModelSource) -> Iterator[None]:
    """Prefixes errors with the model they are about, as one printable line whatever names its file contains."""
    try:
        yield
    except TvmoptError as error:
        message = "".join(char if char.isprintable() else "?" for char in " ".join(str(error).split()))
        raise type(error)(f"{source.spec}: {message}") from error


def _read(
    source: ModelSource, request: ShapeRequest, strict: bool = True, folder: Path | None = None
) -> tuple[onnx.ModelProto, Mapping[str, np.ndarray], Checked]:
    """The model in ONNX with static inputs, and what is known of it.

    That is: arrays on which its framework ran it (none, where it did not), and what the import was checked against.

    When `strict`, ONNX defines all its operators, and it is checked against its framework if the importer can do that.
    Otherwise, nothing is run. The weights of a large model are parked in `folder`, if there is one.
    """
    from tvmopt.pipeline.importers.check.batch import check_rebatched, repeated
    from tvmopt.pipeline.importers.onnx_form.cleanup import sort_selections
    from tvmopt.pipeline.importers.onnx_form.constants.fixed_inputs import fix_inputs
    from tvmopt.pipeline.importers.onnx_form.shapes import make_static, settle_shapes
    from tvmopt.pipeline.support.memory import give_back_freed
    from tvmopt.pipeline.support.weights.light_model import PARKED_BYTES, park, weights_nbytes

    importer = find_importer(source.kind)
    form = importer.load(source, request, strict)
    sort_selections(form.model.graph)
    if folder is not None and weights_nbytes(form.model) >= PARKED_BYTES:
        form = replace(form, model=park(form.model, folder))
        give_back_freed()
    checked = _check(importer, form) if strict else Checked()
    asked = form.request
    if asked is None:
        return form.model, form.inputs, checked
    fix_inputs(form.model, source.values)
    form = replace(form, inputs={name: x for name, x in form.inputs.items() if name not in source.values})
    if asked.batch is None:
        settle_shapes(form.model, asked)
        return form.model, repeated(form.inputs, form.model.graph), checked
    static = make_static(form.model, asked)
    check_rebatched(form.model, _whole_batches(form, static), form.inputs, asked.batch)
    return static, repeated(form.inputs, static.graph), checked


def _check(importer: Importer, form: OnnxForm) -> Checked:
    """Checks the import as far as the importer can.

    Raises:
        WrongResultError: it computes something else.
    """
    if importer.check is None:
        return Checked()
    try:
        named = importer.check(form)
    except UncheckedError as error:
        return Checked(unchecked=str(error))
    return Checked(importer.framework if named is None else named)


def _whole_batches(form: OnnxForm, static: onnx.ModelProto) -> onnx.ModelProto:
    """`static`, or where its batch is no multiple of the old one, the model with twice the old one.

    Only then parts of a batch can be compared with the whole, which shows whether a first dimension is a batch at all:
    recurrent layers have time there.
    """
    from tvmopt.pipeline.importers.onnx_form.shapes import input_dims, make_static

    old, new = (input_dims(model.graph.input[0]) for model in (form.model, static))
    if not old or not new or isinstance(old[0], str) or isinstance(new[0], str) or new[0] % old[0] == 0:
        return static
    assert form.request is not None
    return make_static(form.model, replace(form.request, batch=2 * old[0]))


def _finish(
    source: ModelSource,
    original: onnx.ModelProto,
    examples: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray] | None,
) -> ImportedModel:
    """Normalises `original`, checks that it still computes the same, and returns the imported model."""
    from tvmopt.pipeline.importers.check.normalized import check_normalized
    from tvmopt.pipeline.importers.check.suitable_inputs import find_inputs, take_inputs
    from tvmopt.pipeline.importers.onnx_form.normalize import normalize
    from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
    from tvmopt.pipeline.support.fit import check_inputs

    normalized = normalize(original)
    specs = tuple(tensor_spec(value) for value in normalized.graph.input)
    if given is None:
        found = find_inputs(original, specs, normalized.graph, examples)
    else:
        check_inputs(given, [asdict(spec) for spec in specs])
        found = take_inputs(original, given)
    check_normalized(original, normalized, found.inputs, found.outputs)
    return _imported(source, original, normalized, found.draws)


def finished(
    source: ModelSource, original: onnx.ModelProto, given: Mapping[str, np.ndarray] | None = None
) -> ImportedModel:
    """The imported model of another ONNX form that a model was given: normalised and checked, as by `load_model`.

    Args:
        source: where the model comes from.
        original: its ONNX form, with static inputs.
        given: an array for each input that it runs on; random ones when None.

    Raises:
        UnsupportedModelError, WrongResultError: as `load_model`.
    """
    with _named(source):
        return _finish(source, original, {}, given)


def _results(normalized: onnx.ModelProto) -> Iterator[onnx.ValueInfoProto]:
    """The outputs as the model has them: sizes that are found at run time are open."""
    import onnx

    cuts = cuts_of(normalized)
    by_room, counts = {cut.room: cut for cut in cuts}, {cut.count for cut in cuts}
    for output in normalized.graph.output:
        result, cut = onnx.ValueInfoProto(), by_room.get(output.name)
        result.CopyFrom(output)
        if cut is not None:
            result.name = cut.name
            result.type.tensor_type.shape.dim[cut.axis].dim_param = cut.count
        if output.name not in counts:
            yield result


def _imported(
    source: ModelSource, original: onnx.ModelProto, normalized: onnx.ModelProto, draws: Mapping[str, Draw]
) -> ImportedModel:
    """Builds the imported model; sets the outputs' shapes in `original`."""
    from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
    from tvmopt.pipeline.support.weights.light_model import serialized

    del original.graph.value_info[:]  # shapes that follow from the rest do not belong in the hash
    del original.graph.output[:]
    original.graph.output.extend(_results(normalized))  # the same outputs, with their inferred shapes
    digest = hashlib.sha256()
    for piece in serialized(original):
        digest.update(piece)
    return ImportedModel(
        name=model_name(source),
        source=source,
        original=original,
        normalized=normalized,
        inputs=tuple(tensor_spec(value) for value in normalized.graph.input),
        outputs=tuple(tensor_spec(value) for value in normalized.graph.output),
        sha256=digest.hexdigest(),
        draws=draws,
        cuts=cuts_of(normalized),
    )
