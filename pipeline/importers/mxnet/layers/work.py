"""What the translation of one node can ask and add."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.mxnet.params import Param
from tvmopt.pipeline.importers.mxnet.symbol import Node
from tvmopt.pipeline.importers.onnx_form.building.layer import TranslatedLayer


@dataclass(frozen=True, slots=True)
class Known:
    """An array that follows from parameters alone."""

    array: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.array.shape

    def read(self) -> npt.NDArray[Any]:
        """The elements."""
        return self.array


@dataclass(frozen=True, slots=True)
class Open:
    """Zeros of a shape that MXNet takes from what reads them: first states of recurrent layers.

    Attributes:
        shape: as the node says; 0 is open.
    """

    shape: tuple[int, ...]


Operand = str | Param | Known | Open
"""A value of the graph, or what is known before it runs."""


@dataclass(frozen=True, slots=True)
class Work(TranslatedLayer):
    """A node that is being translated.

    Attributes:
        node: the node.
        operands: the values and parameters that it reads.
        made: by number of the operand, the constants that parameters have become.
    """

    node: Node
    operands: tuple[Operand, ...]
    made: dict[int, str] = field(default_factory=dict)

    @property
    def x(self) -> str:
        """The first value that it reads."""
        return self.value(0)

    def value(self, index: int) -> str:
        """A value that it reads; a parameter becomes a constant."""
        if index not in self.made:
            operand = self._operand(index)
            if isinstance(operand, Open):  # zeros are alike along each axis: what reads them broadcasts them
                operand = Known(np.zeros([size or 1 for size in operand.shape], np.float32))
            self.made[index] = (
                operand if isinstance(operand, str) else self.builder.constant(operand.read(), "parameter")
            )
        return self.made[index]

    def parameter(self, index: int, shape: Sequence[int]) -> npt.NDArray[Any]:
        """A parameter in the shape that the operator takes.

        Raises:
            InputFileError: it has another number of elements.
            UnsupportedModelError: the network computes it.
        """
        operand = self._operand(index)
        if not isinstance(operand, (Param, Known)):
            raise self.refuse(f"operand {index} is computed by the network", "store it in the .params file")
        if math.prod(operand.shape) != math.prod(shape):
            raise InputFileError(
                f"{self}: its operand {index} has shape {list(operand.shape)} in the .params file, but it takes "
                f"{list(shape)}: the file belongs to another network"
            )
        return operand.read().reshape(tuple(shape))

    def elements(self, index: int) -> int:
        """How many elements a parameter has; 0 where the network computes it."""
        operand = self._operand(index)
        return math.prod(operand.shape) if isinstance(operand, (Param, Known)) else 0

    def _operand(self, index: int) -> Operand:
        if index >= len(self.operands):
            raise InputFileError(f"{self}: reads {len(self.operands)} values, but needs at least {index + 1}")
        return self.operands[index]

    def __str__(self) -> str:
        return f"layer {self.node.name!r} ({self.node.operator})"


Translate = Callable[[Work], Sequence[str]]
"""Adds the ONNX nodes of a node to the builder and returns its outputs."""
