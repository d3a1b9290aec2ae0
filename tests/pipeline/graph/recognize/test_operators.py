"""Recognition compared with the table of operators."""

from __future__ import annotations

from tvmopt.pipeline.graph.recognize import rules
from tvmopt.schedules.operators import OPERATORS


def test_each_rule_is_in_the_table_once() -> None:
    kinds = [kind for operator in OPERATORS.values() for kind in operator.forms]
    assert sorted(kinds) == sorted(rules())
