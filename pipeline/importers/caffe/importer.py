"""The importer of Caffe networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tvmopt.pipeline.importers.base import Importer, OnnxForm, Stored

if TYPE_CHECKING:
    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
    from tvmopt.pipeline.types import ModelSource


def _load(source: ModelSource, request: ShapeRequest, strict: bool) -> OnnxForm:
    from tvmopt.pipeline.importers.caffe.build import import_caffe
    from tvmopt.pipeline.importers.caffe.pair import find_pair
    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest as Request

    return OnnxForm(import_caffe(source.path, request), Request(), program=find_pair(source.path))


def _check(form: OnnxForm) -> str:
    from tvmopt.pipeline.importers.caffe.check import check_against_opencv

    return check_against_opencv(form)


def _stored(source: ModelSource) -> Stored:
    from tvmopt.pipeline.importers.caffe.pair import find_pair
    from tvmopt.pipeline.importers.caffe.weights import stored_blobs

    return stored_blobs(find_pair(source.path))


IMPORTER = Importer(
    kind="caffe",
    title="a Caffe network",
    about="a Caffe network, with its weights in a .caffemodel beside it",
    form="file.prototxt",
    suffixes=(".prototxt", ".caffemodel"),
    load=_load,
    framework="Caffe",
    check=_check,
    stored=_stored,
    refused={".solverstate": "holds the state of a training: give the network's .prototxt beside its .caffemodel"},
)
