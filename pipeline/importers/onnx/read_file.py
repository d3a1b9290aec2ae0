"""Reads ONNX files, which come from anywhere: nothing in them is trusted before it is checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf comes without types

from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.cleanup import drop_initializer_inputs, give_outputs_names
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes
from tvmopt.pipeline.importers.onnx_form.operators import check_known, standard_opset, with_foreign_domain
from tvmopt.pipeline.importers.onnx_form.recurrent import put_time_first
from tvmopt.pipeline.importers.onnx_form.tensors import MAX_BYTES, check_sizes, read_external_data
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.support.weights.light_model import with_stand_ins

_LFS_POINTER = b"version https://git-lfs"
_FIRST_FIELD = b"\x08"
"""The first byte of nearly every ONNX file: the tag of its IR version."""


def import_onnx(path: Path, any_operator: bool = False) -> onnx.ModelProto:
    """Reads the model at `path` and gives it the form that every importer delivers.

    Args:
        path: the file.
        any_operator: whether operators that ONNX does not define are accepted.

    Returns:
        The model with all weights inside, no initialisers among its inputs, named nodes, and a name of its own for
        each output: an output that is an input itself, or that is listed twice, becomes ``<name>_output``.

    Raises:
        InputFileError: not an ONNX file, cut short, too large, or with weights outside its folder.
        UnsupportedModelError: too new, operators that ONNX does not define, inputs that are not tensors.
    """
    model = read_onnx(path, any_operator)
    drop_initializer_inputs(model)
    give_outputs_names(model.graph)
    put_time_first(model.graph)
    name_nodes(model.graph.node)
    check_interface(model)
    return model


def read_onnx(path: Path, any_operator: bool = False) -> onnx.ModelProto:
    """The checked model at `path`, with all its weights inside; `any_operator` as `import_onnx`.

    Raises:
        InputFileError, UnsupportedModelError: as `import_onnx`.
    """
    model = _parse(path)
    _check_versions(model)
    read_external_data(model, path.parent, MAX_BYTES - path.stat().st_size)
    check_sizes(model)
    if not any_operator:
        check_known(model)
    try:
        with _shapes_filled_in(model.graph):
            light = with_stand_ins(model)  # ONNX's checker copies what it is given
            onnx.checker.check_model(with_foreign_domain(light) if any_operator else light)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise InputFileError(f"not a valid ONNX model: {one_line(error)}") from error
    return model


@contextmanager
def _shapes_filled_in(graph: onnx.GraphProto) -> Iterator[None]:
    """Gives inputs and outputs that lack a shape one for as long as ONNX's checker looks: it takes none without.

    Exporters leave them out for any rank, and outputs may lack even a type; both follow from the rest. The types of
    other values that say nothing are removed for good.
    """
    told = [value for value in graph.value_info if value.type.tensor_type.HasField("shape")]
    if len(told) < len(graph.value_info):
        copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in told]
        del graph.value_info[:]
        graph.value_info.extend(copies)
    untyped = [value for value in graph.output if not value.HasField("type")]
    for value in untyped:
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    values = [value for value in (*graph.input, *graph.output) if value.type.HasField("tensor_type")]
    unshaped = [value for value in values if not value.type.tensor_type.HasField("shape")]
    for value in unshaped:
        value.type.tensor_type.shape.SetInParent()
    try:
        yield
    finally:
        for value in unshaped:
            value.type.tensor_type.ClearField("shape")
        for value in untyped:
            value.ClearField("type")


def _parse(path: Path) -> onnx.ModelProto:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputFileError(f"the file has {size} bytes, more than the {MAX_BYTES} that an ONNX file can have")
        content = path.read_bytes()
    except OSError as error:
        raise InputFileError(f"the file cannot be read: {error.strerror}") from error
    if not content:
        raise InputFileError("the file is empty (0 bytes): an ONNX model was expected")
    if content.startswith(_LFS_POINTER):
        raise InputFileError("the file is only a Git LFS pointer to a model: fetch the model itself with git lfs pull")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        what = "is cut short or damaged" if content.startswith(_FIRST_FIELD) else "is not an ONNX model"
        raise InputFileError(f"the file ({size} bytes) {what}: its protobuf message cannot be read") from error
    if not model.HasField("graph") or not model.opset_import or not model.ir_version:
        raise InputFileError(f"the file ({size} bytes) is not an ONNX model, or cut short: it lacks graph or versions")
    return model


def _check_versions(model: onnx.ModelProto) -> None:
    """Refuses a model that is too new for this version of ONNX, and so for onnxruntime."""
    newest_opset = onnx.defs.onnx_opset_version()
    opset = standard_opset(model)
    if model.ir_version > onnx.IR_VERSION or opset > newest_opset:
        raise UnsupportedModelError(
            f"the model has IR version {model.ir_version} and opset {opset}; onnxruntime takes at most "
            f"IR version {onnx.IR_VERSION} and opset {newest_opset}: export it for an older opset"
        )


def check_interface(model: onnx.ModelProto) -> None:
    """Refuses a model without outputs, and inputs that are not tensors.

    Raises:
        UnsupportedModelError: says which.
    """
    if not model.graph.output:
        raise UnsupportedModelError("the model has no outputs: there is nothing to run")
    for value in model.graph.input:
        kind = value.type.WhichOneof("value") or "undefined"
        if kind != "tensor_type":
            raise UnsupportedModelError(
                f"input {value.name!r} is a {kind.removesuffix('_type')}: only tensors are supported"
            )
