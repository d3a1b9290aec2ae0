"""What the translation of one node can ask and add."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.params import Param
from tvmopt.pipeline.importers.mxnet.symbol import Node
from tvmopt.pipeline.importers.onnx_form.building.layer import TranslatedLayer


@dataclass(frozen=True, slots=True)
class Work(TranslatedLayer):
    """A node that is being translated.

    Attributes:
        node: the node.
        operands: the values and parameters that it reads.
    """

    node: Node
    operands: tuple[str | Param, ...]

    @property
    def x(self) -> str:
        """The first value that it reads."""
        return self.value(0)

    def value(self, index: int) -> str:
        """A value that it reads; a parameter becomes a constant."""
        operand = self._operand(index)
        return self.builder.constant(operand.read(), "parameter") if isinstance(operand, Param) else operand

    def parameter(self, index: int, shape: Sequence[int]) -> npt.NDArray[Any]:
        """A parameter in the shape that the operator takes.

        Raises:
            InputFileError: it has another number of elements.
            UnsupportedModelError: the network computes it.
        """
        operand = self._operand(index)
        if not isinstance(operand, Param):
            raise self.refuse(f"operand {index} is computed by the network", "store it in the .params file")
        if math.prod(operand.shape) != math.prod(shape):
            raise InputFileError(
                f"{self}: its operand {index} has shape {list(operand.shape)} in the .params file, but it takes "
                f"{list(shape)}: the file belongs to another network"
            )
        return operand.read().reshape(tuple(shape))

    def _operand(self, index: int) -> str | Param:
        if index >= len(self.operands):
            raise InputFileError(f"{self}: reads {len(self.operands)} values, but needs at least {index + 1}")
        return self.operands[index]

    def __str__(self) -> str:
        return f"layer {self.node.name!r} ({self.node.operator})"


Translate = Callable[[Work], Sequence[str]]
"""Adds the ONNX nodes of a node to the builder and returns its outputs."""
