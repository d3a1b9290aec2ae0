"""Computes each layer from given inputs: cuts a model at known values and runs all pieces at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx

from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.importers.onnx_form.layer_names import unique
from tvmopt.pipeline.support.onnxruntime import run_model

Arrays = Mapping[str, np.ndarray]


def run_given(model: onnx.ModelProto, inputs: Arrays, given: Arrays, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Values of a model, each computed from the given values before it instead of the computed ones.

    So an error in one of them shows only there, not in all later values.

    Args:
        model: with static inputs.
        inputs: an array for each of its inputs.
        given: arrays for some of the values that its nodes compute; a value may be both given and wanted.
        names: which values are wanted.

    Raises:
        UnsupportedModelError: onnxruntime cannot run the model.
    """
    taken = {name for node in model.graph.node for name in node.output}
    taken |= {item.name for item in (*model.graph.input, *model.graph.initializer)}
    inputs_of = {name: unique(f"given:{name}", taken) for name in given}
    cut = with_outputs(model, list(names))
    _redirect(cut.graph.node, inputs_of)
    for name, array in given.items():
        dtype = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        cut.graph.input.append(onnx.helper.make_tensor_value_info(inputs_of[name], dtype, array.shape))
    feeds = {inputs_of[name]: array for name, array in given.items()}
    return run_model(cut, {**inputs, **feeds}, names)


def _redirect(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Makes `nodes` and their subgraphs read other values, in place: `names` has the new name for each."""
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                _redirect(graph.node, names)
