"""Products of two quantised matrices, uint8, both computed: as in attention. Sums are int32 and exact."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.llvm.dense.activations_nest import MIDDLE, ActivationsNest
from tvmopt.schedules.llvm.dense.dense import Dense, steps_of
from tvmopt.schedules.llvm.parts.quads import multiplies_rows
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class IntegerProduct(Dense):
    """The template; workload: ``(B, M, K)`` and ``(B, K, N)``, whose zero points are ``zero`` and ``right_zero``.

    A task packs a panel of the right matrix, and multiplies all rows of the left one with it.
    """

    name = "integer_product"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Two matrices of uint8, and a machine that `multiplies_rows`."""
        if workload.op != "integer_dense" or not multiplies_rows(target) or workload.attr("packed"):
            return False
        return [x.dtype for x in workload.inputs[:2]] == [QUANTIZED, QUANTIZED]

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Tile (rows, vectors) and unrolling of the reduction; panels are packed one by one, so all rows follow."""
        totals = int(workload.attr("right_zero") != MIDDLE)

        def allowed(config: Config) -> bool:
            rows, vectors = config["rows"], config["vectors"]
            return rows * (vectors + totals) + vectors + 2 <= target.registers

        fixed = {"rows_outer": (0,), "column_blocks": (1,), "prefetch": (0,)}
        knobs = super().space(workload, target).knobs
        return ConfigSpace(tuple(Knob(knob.name, fixed.get(knob.name, knob.values)) for knob in knobs), allowed)

    def packed(self, workload: Workload, target: Target, config: Config) -> dict[int, tuple[int, ...]]:
        """Nothing is packed before."""
        return {}

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: inputs, then the output."""
        return ActivationsNest(workload, target, config, steps_of(workload)).function()
