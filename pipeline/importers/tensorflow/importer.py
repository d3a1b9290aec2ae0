"""The importers of TensorFlow graphs, Keras models and TFLite models."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from tvmopt.pipeline.importers.base import Importer, OnnxForm

if TYPE_CHECKING:
    import numpy as np

    from tvmopt.pipeline.importers.base import Stored
    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
    from tvmopt.pipeline.types import ImportedModel, ModelSource


def _load(source: ModelSource, request: ShapeRequest, strict: bool) -> OnnxForm:
    from tvmopt.pipeline.importers.tensorflow.convert import import_model

    return import_model(source, request, strict)


def _check(form: OnnxForm) -> str:
    from tvmopt.pipeline.importers.tensorflow.check import check_against_framework

    return check_against_framework(form)


def _layer_values(
    model: ImportedModel, inputs: Mapping[str, np.ndarray], names: Collection[str]
) -> Mapping[str, np.ndarray]:
    from tvmopt.pipeline.importers.tensorflow.layer_values import framework_values

    return framework_values(model, inputs, names)


def _stored(source: ModelSource) -> Stored:
    from tvmopt.pipeline.devices.environments.places import identity
    from tvmopt.pipeline.devices.environments.registry import find_environment
    from tvmopt.pipeline.importers.base import Stored
    from tvmopt.pipeline.importers.tensorflow.convert import ENVIRONMENT
    from tvmopt.pipeline.importers.tensorflow.look import SAVED_MODEL

    path = source.path
    others = sorted(path.parent.rglob("*")) if path.name == SAVED_MODEL else ()
    files = (path, *(file for file in others if file.is_file() and file != path))
    return Stored(files, (), identity(find_environment(ENVIRONMENT)))


TENSORFLOW_IMPORTER = Importer(
    kind="tensorflow",
    title="a TensorFlow graph",
    about="a frozen graph of TensorFlow, or the saved_model.pb of a SavedModel, whose folder will do as well",
    form="file.pb",
    suffixes=(".pb",),
    load=_load,
    framework="TensorFlow",
    check=_check,
    layer_values=_layer_values,
    original_runtime="tensorflow",
    stored=_stored,
    folder_file="saved_model.pb",
    refused={
        ".pbtxt": "is a TensorFlow graph as text: give the binary form (.pb)",
        ".meta": "is a graph for training: save a SavedModel, or freeze the graph (.pb)",
    },
)

KERAS_IMPORTER = Importer(
    kind="keras",
    title="a Keras model",
    about="a whole Keras model (.keras, .h5 or .hdf5)",
    form="file.keras",
    suffixes=(".keras", ".h5", ".hdf5"),
    load=_load,
    framework="Keras",
    check=_check,
    layer_values=_layer_values,
    original_runtime="tensorflow",
    stored=_stored,
)

TFLITE_IMPORTER = Importer(
    kind="tflite",
    title="a TFLite model",
    about="a model of TFLite, in float, float16 or quantised",
    form="file.tflite",
    suffixes=(".tflite",),
    load=_load,
    framework="LiteRT",
    check=_check,
    layer_values=_layer_values,
    original_runtime="litert",
    stored=_stored,
)
