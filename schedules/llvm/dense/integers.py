"""Matrix products of quantised rows, uint8, with constant weights of int8; sums are int32 and exact.

The template differs from the one for float32 in its step: a multiply-add takes four elements of a row (`quads`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.dense.dense import Dense, steps_of
from tvmopt.schedules.llvm.dense.integers_nest import IntegerDenseNest
from tvmopt.schedules.llvm.parts.quads import QUAD, moved_data, multiplies_bytes
from tvmopt.schedules.llvm.parts.register_tile import channel_panels
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class IntegerDense(Dense):
    """The template; workload: that of `Dense` with rows of uint8 and constant weights of int8.

    Attribute ``zero`` is the zero point of the rows. Operands of the epilogue may also have one element for each row,
    as ``(B, M, 1)``.
    """

    name = "integer_dense"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Rows of uint8, constant weights of int8, and a machine that multiplies bytes."""
        if workload.op != self.name or not multiplies_bytes(target) or not workload.attr("packed"):
            return False
        return [x.dtype for x in workload.inputs[:2]] == [QUANTIZED, "int8"]

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """The weights, then what the sums of each column begin with, four bytes each."""
        lanes, columns = target.lanes(FLOAT32), workload.output.shape[-1]
        return {1: (QUAD * math.ceil(columns / lanes) * lanes * (steps_of(workload) + 1),)}

    def pack(
        self, workload: Workload, target: Target, config: Config, index: int, array: npt.NDArray[Any]
    ) -> npt.NDArray[Any]:
        """Weights K×N → as `Dense` packs them, with four rows as one element; then the first sums."""
        lanes = target.lanes(FLOAT32)
        padded = np.pad(array, ((0, -len(array) % QUAD), (0, 0)))
        quads = np.ascontiguousarray(padded.reshape(-1, QUAD, array.shape[1]).transpose(0, 2, 1))
        weights = channel_panels(quads.view(np.int32)[..., 0], config["vectors"], lanes)
        first = array.sum(axis=0, dtype=np.int32) * np.int32(moved_data(target) - workload.attr("zero"))
        sums = np.pad(first, (0, -len(first) % lanes))
        return np.concatenate([weights, sums]).view(np.int8)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs (weights packed), then the output."""
        return IntegerDenseNest(
            workload, target, config, self.packed(workload, target, config), steps_of(workload)
        ).function()
