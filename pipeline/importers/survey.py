"""A model as far as it can be taken, with all that stands in the way of more; nothing is run, nothing refused."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.normalize import finish, optimize, prepare
from tvmopt.pipeline.importers.onnx_form.operators import UnsupportedOperator, find_unsupported
from tvmopt.pipeline.importers.onnx_form.values import value_faults


@dataclass(frozen=True, slots=True)
class Survey:
    """What normalising a model comes to.

    Attributes:
        original: the source model, with static inputs and named nodes.
        simplified: the same after onnxruntime's basic optimisation, with layers and the shapes that are known; None
            where onnxruntime or ONNX refuses it.
        operators: all operators that cannot be compiled.
        values: all values that cannot be taken: the layer, with its operator, and what is wrong.
        refusal: why there is no `simplified`; empty where there is.
    """

    original: onnx.ModelProto
    simplified: onnx.ModelProto | None
    operators: tuple[UnsupportedOperator, ...]
    values: tuple[tuple[str, str], ...]
    refusal: str

    @property
    def static(self) -> bool:
        """Whether the normal form is there, each value with a static shape, whatever its operators."""
        return self.simplified is not None and not self.values

    @property
    def accepted(self) -> bool:
        """Whether importing takes the model, unless it then computes something else."""
        return self.static and not self.operators


def survey(original: onnx.ModelProto) -> Survey:
    """Does what `normalize.normalize` does, as far as it goes, and collects what that would refuse.

    Args:
        original: with static inputs and named nodes; stays as it is.
    """
    prepared = original
    try:
        prepared = prepare(original)
        simplified = optimize(prepared)
        operators = find_unsupported(simplified)
        simplified = finish(simplified, original)
    except UnsupportedModelError as error:
        return Survey(original, None, find_unsupported(prepared), (), str(error))
    return Survey(original, simplified, operators, tuple(value_faults(simplified.graph)), "")
