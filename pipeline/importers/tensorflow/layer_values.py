"""The values that TensorFlow, Keras or LiteRT computes inside a model, by their names in the ONNX form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.normalize import infer_shapes
from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
from tvmopt.pipeline.importers.tensorflow.convert import Ran, run_model
from tvmopt.pipeline.importers.tensorflow.layouts import layouts
from tvmopt.pipeline.support.weights.light_model import without_weights

if TYPE_CHECKING:
    from tvmopt.pipeline.types import ImportedModel

Arrays = Mapping[str, np.ndarray]


def framework_values(model: ImportedModel, inputs: Arrays, names: Collection[str]) -> dict[str, np.ndarray]:
    """Runs a model in its framework.

    Args:
        model: of TensorFlow, Keras or TFLite; its files are read again.
        inputs: an array for each of its inputs.
        names: the wanted values of `model.original`.

    Returns:
        The wanted values that the framework computes too, with channels where the ONNX form has them, and all outputs.
        A value that fits with channels last and with channels first is left out.

    Raises:
        RuntimeMissingError: no Python has TensorFlow.
        InputFileError: the file changed so that it cannot be read.
        UnsupportedModelError: the framework does not run the model on `inputs`, or computes with integers of 8 or 16
            bits, which two runtimes round differently.
    """
    if model.source.values:
        raise UnsupportedModelError(f"{', '.join(model.source.values)} became constants, which its file does not have")
    form = run_model(model.source, inputs)
    ran = form.program
    assert isinstance(ran, Ran)
    if not form.outputs:
        raise UnsupportedModelError(f"{ran.framework} does not run it: {ran.unrun or 'its input shapes are open'}")
    if ran.hybrid or any(array.dtype.name in ("int8", "uint8", "int16") for array in ran.values.values()):
        how = "rounds to integers in its own way; the import was checked layer by layer, within a step"
        raise UnsupportedModelError(f"{ran.framework} {how}")
    specs = map(tensor_spec, infer_shapes(without_weights(model.original)).graph.value_info)
    shapes = {spec.name: spec.shape for spec in specs if spec.name in names}
    values = {name: list(layouts(array, shapes[name])) for name, array in ran.values.items() if name in shapes}
    return {name: fitting[0] for name, fitting in values.items() if len(fitting) == 1} | dict(form.outputs)
