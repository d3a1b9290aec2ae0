"""The template of attention; `schedules.llvm.attention.nest` writes its loop nest.

Each task computes some queries of one head: all scores of these queries, or of one span of keys after another, stay in
the cache between the two products. Spans are joined as in FlashAttention (T. Dao et al., NeurIPS 2022): what was summed
so far is scaled down whenever a span has a larger score.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.compute.attention import is_filled, places_of, reach_of, result_of, shape_of
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.llvm.attention.block import key_rows, query_lanes
from tvmopt.schedules.llvm.attention.nest import Nest
from tvmopt.schedules.llvm.parts.register_tile import tile_cycles
from tvmopt.schedules.llvm.parts.split import Cut
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

SPANS = (64, 128, 256, 512, 1024)
LONG = 2
"""Scores of more than this many first-level caches are divided into spans by default; each then fits into one."""
EXPONENTIAL_CYCLES = 10
"""For each vector of scores: the maximum, the exponential, the sum."""


class Attention:
    """The template.

    Workload: inputs Q, K, V, then the operands of `inner`, an expression of a score; all flat. Attributes (see
    `schedules.compute.attention`): ``batch``, ``queries``, ``keys``, ``depth``, ``width``; the places ``query``,
    ``key``, ``value``, ``result``, and those of the operands, one after another, in ``operands``; ``guard``: 1 gives
    zeros in place of NaN for a query whose scores have no softmax, because all are -inf or one is NaN; ``reach``, if
    there: `inner` hides from a query all keys whose numbers exceed its own by more. Spans without any other are left
    out, so that NaN or infinity in them has no effect.
    """

    name = "attention"
    version = 3

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Float32, the columns of V and of the result next to each other, the result without gaps."""
        if workload.op != "attention" or workload.dtypes != {FLOAT32}:
            return False
        columns = [places_of(workload)[2].column, result_of(workload).column]
        return is_filled(workload) and (columns == [1, 1] or shape_of(workload).width == 1)

    def flops(self, workload: Workload) -> int:
        """Operations of both products, a multiply-add as two."""
        shape = shape_of(workload)
        return 2 * math.prod(shape.batch) * shape.queries * shape.keys * (shape.depth + shape.width)

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Vectors of queries in a task, and at most how many keys are in a span; 0 is all of them."""
        shape = shape_of(workload)
        blocks = math.ceil(shape.queries / query_lanes(shape.queries, target))
        spans = tuple(span for span in SPANS if span < shape.keys)
        return ConfigSpace((Knob("vectors", tuple(v for v in (1, 2, 4) if v <= blocks)), Knob("span", (0, *spans))))

    def default(self, workload: Workload, target: Target) -> Config:
        """Two vectors of queries unless threads would idle; spans whose scores stay in the first-level cache.

        Where later keys are hidden, spans are as short as possible.
        """
        shape = shape_of(workload)
        lanes = query_lanes(shape.queries, target)
        values = {knob.name: knob.values for knob in self.space(workload, target).knobs}

        def tasks(vectors: int) -> int:
            return math.prod(shape.batch) * math.ceil(shape.queries / (vectors * lanes))

        spans = [span for span in values["span"] if span]
        vectors = max(v for v in values["vectors"] if v == 1 or (v == 2 and tasks(v) >= 2 * target.threads))
        if reach_of(workload) is not None and spans:
            # Short ones leave out most of what is hidden.
            return {"vectors": vectors, "span": spans[0]}
        room = target.l1_bytes // (4 * vectors * lanes)
        if shape.keys <= LONG * room:
            return {"vectors": vectors, "span": 0}
        return {"vectors": vectors, "span": max(span for span in spans if span <= max(room, SPANS[0]))}

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles on one core."""
        shape = shape_of(workload)
        lanes = query_lanes(shape.queries, target)
        blocks = math.prod(shape.batch) * math.ceil(shape.queries / (config["vectors"] * lanes))
        rows = key_rows(config["vectors"], target)
        scores = shape.keys / rows * shape.depth * tile_cycles(rows, config["vectors"], True, target)
        values = shape.keys * config["vectors"] * lanes * math.ceil(shape.width / target.lanes(FLOAT32)) / 2
        spans = math.ceil(shape.keys / (config["span"] or shape.keys))
        joins = (spans - 1) * config["vectors"] * lanes * math.ceil(shape.width / target.lanes(FLOAT32))
        whole = blocks * (scores + values + joins + shape.keys * config["vectors"] * EXPONENTIAL_CYCLES)
        return whole * _computed(workload, config["vectors"] * lanes, config["span"])

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Estimated cycles, vectors of queries, bytes of a span's scores, parallel tasks."""
        shape = shape_of(workload)
        lanes = query_lanes(shape.queries, target)
        tasks = math.prod(shape.batch) * math.ceil(shape.queries / (config["vectors"] * lanes))
        return (
            math.log2(self.cycles(workload, target, config)),
            float(config["vectors"]),
            math.log2((config["span"] or shape.keys) * config["vectors"] * lanes * 4),
            math.log2(tasks),
            float(tasks % target.threads),
        )

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        return Nest(workload, target, config).function()


def _computed(workload: Workload, size: int, span: int) -> float:
    """The share of the spans that are computed, if a task has `size` queries."""
    shape, reach = shape_of(workload), reach_of(workload)
    if reach is None or not span:
        return 1.0
    spans = Cut.of(shape.keys, span)
    ends = [min(first + size, shape.queries) + reach for first in range(0, shape.queries, size)]
    return sum(min(spans.pieces, math.ceil(end / spans.size)) for end in ends) / (len(ends) * spans.pieces)
