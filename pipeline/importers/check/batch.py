"""Checks that a model exported for one batch size computes the same for another."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.check.normalized import agrees
from tvmopt.pipeline.importers.check.suitable_inputs import find_inputs
from tvmopt.pipeline.importers.onnx_form.shapes import input_dims
from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
from tvmopt.pipeline.support.onnxruntime import run_model

Arrays = Mapping[str, np.ndarray]


def check_rebatched(
    fixed: onnx.ModelProto, rebatched: onnx.ModelProto, examples: Arrays | None = None, asked: int | None = None
) -> None:
    """Checks that `rebatched` computes for a whole batch what `fixed` computes for its parts, one after the other.

    Nothing is checked unless both first dimensions are static and the new one is a multiple of the old.

    Args:
        fixed: the model as it was exported.
        rebatched: the same nodes with other sizes of the inputs' first dimension.
        examples: arrays on which `fixed` is known to run; none where it is not known.
        asked: the batch that the user asked for, if it is not that of `rebatched`.

    Raises:
        UnsupportedModelError: it does not, or it cannot be run: the old batch size is fixed somewhere inside.
    """
    old, new = (input_dims(model.graph.input[0]) for model in (fixed, rebatched))
    if not old or not new or old[0] == new[0] or isinstance(old[0], str) or isinstance(new[0], str) or new[0] % old[0]:
        return
    what = f"the model is fixed to a batch of {old[0]} and cannot be given one of {asked or new[0]}"
    cure = "export it for that batch or with a dynamic one"
    try:
        wrong = _first_wrong(fixed, rebatched, repeated(examples or {}, rebatched.graph))
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{what}: {cure} ({error})") from error
    if wrong is not None:
        raise UnsupportedModelError(f"{what}: {cure} (output {wrong!r} differs from that of each part alone)")


def repeated(arrays: Arrays, graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """`arrays`, their elements repeated to fill the shapes of the inputs of `graph`, which are static."""
    shapes = {value.name: tensor_spec(value).shape for value in graph.input if value.name in arrays}
    return {name: np.resize(arrays[name], shape) for name, shape in shapes.items()}


def _first_wrong(fixed: onnx.ModelProto, rebatched: onnx.ModelProto, examples: Arrays) -> str | None:
    """The first output of `rebatched` that does not match those of `fixed` for each of its equal parts."""
    specs = [tensor_spec(value) for value in rebatched.graph.input]
    found = find_inputs(rebatched, specs, rebatched.graph, examples)
    inputs, whole = found.inputs, found.outputs
    (old, *_), (new, *_) = (input_dims(model.graph.input[0]) or (1,) for model in (fixed, rebatched))
    parts = int(new) // int(old)
    sizes = {value.name: input_dims(value) for value in fixed.graph.input}
    split = {name: sizes[name] != array.shape for name, array in inputs.items()}
    results = []
    for part in range(parts):
        share = {name: np.split(x, parts)[part] if split[name] else x for name, x in inputs.items()}
        results.append(run_model(fixed, share))
    for name, value in whole.items():
        pieces = [result[name] for result in results]
        same = value.shape == pieces[0].shape and all(agrees(piece, value) for piece in pieces)
        if not same and (not pieces[0].ndim or not agrees(np.concatenate(pieces), value)):
            return name
    return None
