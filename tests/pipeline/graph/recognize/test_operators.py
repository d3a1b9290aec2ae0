"""Recognition compared with the table of operators."""

from __future__ import annotations

from tvmopt.pipeline.graph.passes.find_copies import MOVES, OWN_KERNELS
from tvmopt.pipeline.graph.recognize import extremes, rules, written_out
from tvmopt.schedules.operators import OPERATORS


def test_each_rule_is_in_the_table_once() -> None:
    kinds = [kind for operator in OPERATORS.values() for kind in operator.forms]
    # The last kernel of these is still TVM's.
    prepared = [kind for kind, rule in extremes.RULES.items() if rule is extremes.place_of_extreme]
    prepared += written_out.RULES
    # A transpose that moves nothing is a view already when operators are recognised.
    assert sorted([*kinds, *prepared]) == sorted({*rules(), *MOVES, *OWN_KERNELS})
