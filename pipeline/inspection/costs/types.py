"""LayerCost, and an ONNX node as the rules see it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvmopt.pipeline.tasks.precision import precision_of
from tvmopt.pipeline.types import TensorSpec


@dataclass(frozen=True, slots=True)
class LayerCost:
    """What one layer of a model costs in theory.

    Attributes:
        layer: its name in the source model.
        operator: ONNX's operator type.
        inputs: operands whose sizes are known, constants included.
        outputs: results whose sizes are known.
        flops: floating-point operations, a multiply-add as two.
        integer_ops: operations on integers, counted in the same way.
        parameters: elements of its constants; one that several layers share counts in each.
        read_bytes: bytes of its operands.
        written_bytes: bytes of its results.
    """

    layer: str
    operator: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    flops: int
    integer_ops: int
    parameters: int
    read_bytes: int
    written_bytes: int

    @property
    def precision(self) -> str:
        """What its first operand has: ``FP32``, ``INT8`` for signed and unsigned bytes; empty where nothing is known.

        Where only its results are known, as of a kernel, its operations tell.
        """
        if self.inputs or not self.outputs:
            return precision_of(self.inputs[0].dtype) if self.inputs else ""
        return "INT8" if self.integer_ops else precision_of(self.outputs[0].dtype)

    @property
    def operations(self) -> int:
        """Operations of either kind."""
        return self.flops + self.integer_ops

    @property
    def nbytes(self) -> int:
        """Bytes read and written."""
        return self.read_bytes + self.written_bytes

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: operations per byte; 0 when nothing is moved."""
        return self.operations / self.nbytes if self.nbytes else 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        names = ("layer", "operator", "flops", "integer_ops", "parameters", "read_bytes", "written_bytes")
        tensors = {kind: [_spec_to_json(spec) for spec in getattr(self, kind)] for kind in ("inputs", "outputs")}
        return {name: getattr(self, name) for name in names} | tensors

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> LayerCost:
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: when `data` is not what `to_json` writes.
        """
        return LayerCost(
            layer=str(data["layer"]),
            operator=str(data["operator"]),
            inputs=tuple(_spec_from_json(spec) for spec in data["inputs"]),
            outputs=tuple(_spec_from_json(spec) for spec in data["outputs"]),
            flops=int(data["flops"]),
            integer_ops=int(data["integer_ops"]),
            parameters=int(data["parameters"]),
            read_bytes=int(data["read_bytes"]),
            written_bytes=int(data["written_bytes"]),
        )


@dataclass(frozen=True, slots=True)
class Operation:
    """An ONNX node whose operands' and results' sizes are known.

    Attributes:
        operator: ONNX's operator type.
        attributes: its attributes, strings decoded.
        inputs: its operands; None for an optional one that is absent.
        outputs: its results; None for an optional one that is absent.
    """

    operator: str
    attributes: Mapping[str, Any]
    inputs: tuple[TensorSpec | None, ...]
    outputs: tuple[TensorSpec | None, ...]

    def input(self, index: int) -> TensorSpec:
        """The operand `index`, which must be there."""
        spec = self.inputs[index]
        assert spec is not None, f"{self.operator} has no operand {index}"
        return spec

    @property
    def output(self) -> TensorSpec:
        """The first result."""
        spec = self.outputs[0]
        assert spec is not None, f"{self.operator} has no result"
        return spec


def elements(spec: TensorSpec) -> int:
    """How many elements a tensor has."""
    return math.prod(spec.shape)


def _spec_to_json(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype}


def _spec_from_json(data: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(str(data["name"]), tuple(int(size) for size in data["shape"]), str(data["dtype"]))
