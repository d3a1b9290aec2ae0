"""Recognition compared with the table of operators."""

from __future__ import annotations

from tvmopt.pipeline.graph.passes.find_copies import MOVES, OWN_KERNELS
from tvmopt.pipeline.graph.recognize import rules, typed
from tvmopt.schedules.operators import OPERATORS


def test_each_rule_is_in_the_table_once() -> None:
    kinds = [kind for operator in OPERATORS.values() for kind in operator.forms]
    # A transpose that moves nothing is a view already when operators are recognised.
    assert sorted(kinds) == sorted({*rules(), *typed.RULES, *MOVES, *OWN_KERNELS})
