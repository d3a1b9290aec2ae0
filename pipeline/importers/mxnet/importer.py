"""The importer of MXNet networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvmopt.pipeline.importers.base import Importer, OnnxForm, Stored

if TYPE_CHECKING:
    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
    from tvmopt.pipeline.types import ModelSource


def _load(source: ModelSource, request: ShapeRequest, strict: bool) -> OnnxForm:
    from tvmopt.pipeline.importers.mxnet.build import import_mxnet
    from tvmopt.pipeline.importers.mxnet.params import find_files
    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest as Request

    return OnnxForm(import_mxnet(source.path, request), Request(), program=find_files(source.path))


def _check(form: OnnxForm) -> str:
    from tvmopt.pipeline.importers.mxnet.check import check_against_mxnet

    return check_against_mxnet(form)


def _stored(source: ModelSource) -> Stored:
    from tvmopt.pipeline.importers.mxnet.params import find_files, stored_params

    return stored_params(*find_files(source.path))


IMPORTER = Importer(
    kind="mxnet",
    title="an MXNet network",
    about="an MXNet symbol, with its parameters in a .params file beside it",
    form="file-symbol.json",
    suffixes=("-symbol.json", ".params"),
    load=_load,
    framework="MXNet",
    check=_check,
    original_runtime="mxnet",
    stored=_stored,
)
