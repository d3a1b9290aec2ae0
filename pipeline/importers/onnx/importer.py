"""The importer of ONNX files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvmopt.pipeline.importers.base import Importer, OnnxForm, Stored

if TYPE_CHECKING:
    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
    from tvmopt.pipeline.types import ModelSource


def _load(source: ModelSource, request: ShapeRequest, strict: bool) -> OnnxForm:
    from tvmopt.pipeline.importers.onnx.read_file import import_onnx

    return OnnxForm(import_onnx(source.path, any_operator=not strict), request)


def _stored(source: ModelSource) -> Stored:
    from tvmopt.pipeline.importers.onnx.stored_tensors import stored_tensors

    return stored_tensors(source.path)


IMPORTER = Importer(
    kind="onnx",
    title="an ONNX file",
    about="an ONNX file, whatever framework wrote it",
    form="file.onnx",
    suffixes=(".onnx",),
    load=_load,
    stored=_stored,
)
