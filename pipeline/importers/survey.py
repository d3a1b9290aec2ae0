"""Normalises a model as far as possible and lists everything unsupported, without running or refusing anything."""

from __future__ import annotations

from dataclasses import dataclass

import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.normalize import finish, optimize, prepare
from tvmopt.pipeline.importers.onnx_form.operators import (
    WRITTEN_OUT,
    UnsupportedOperator,
    find_unsupported,
    unknown_operators,
)
from tvmopt.pipeline.importers.onnx_form.values import value_faults


@dataclass(frozen=True, slots=True)
class Survey:
    """The outcome of normalising a model.

    Attributes:
        original: the source model, with static inputs and named nodes.
        simplified: the same after onnxruntime's basic optimisation, with layers and the shapes that are known; None
            where onnxruntime or ONNX refuses it.
        operators: all operators that cannot be compiled.
        values: all unsupported values: the layer, with its operator, and what is wrong.
        refusal: why there is no `simplified`; empty where there is.
    """

    original: onnx.ModelProto
    simplified: onnx.ModelProto | None
    operators: tuple[UnsupportedOperator, ...]
    values: tuple[tuple[str, str], ...]
    refusal: str

    @property
    def static(self) -> bool:
        """Whether there is a normal form in which each value has a static shape, whatever its operators."""
        return self.simplified is not None and not self.values

    @property
    def accepted(self) -> bool:
        """Whether importing would accept the model, unless the import changed what it computes."""
        return self.static and not self.operators


def survey(original: onnx.ModelProto) -> Survey:
    """Does what `normalize.normalize` does, as far as possible, and collects what that would refuse.

    Args:
        original: with static inputs and named nodes; is not changed.
    """
    prepared = original
    unknown = unknown_operators(original)  # onnxruntime knows some of them, but its form of them is not ONNX
    try:
        prepared = prepare(original)
        simplified = optimize(prepared)
        operators = _joined(find_unsupported(simplified), unknown)
        simplified = finish(simplified, original)
    except UnsupportedModelError as error:
        return Survey(original, None, _joined(find_unsupported(prepared, WRITTEN_OUT), unknown), (), str(error))
    return Survey(original, simplified, operators, tuple(value_faults(simplified.graph)), "")


def _joined(
    first: tuple[UnsupportedOperator, ...], second: tuple[UnsupportedOperator, ...]
) -> tuple[UnsupportedOperator, ...]:
    """Both, each operator once."""
    known = {(item.domain, item.operator) for item in first}
    return (*first, *(item for item in second if (item.domain, item.operator) not in known))
