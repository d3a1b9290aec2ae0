"""Recognition compared with the table of operators."""

from __future__ import annotations

from tvmopt.pipeline.graph.passes.find_copies import MOVES, OWN_KERNELS
from tvmopt.pipeline.graph.recognize import rules, typed
from tvmopt.pipeline.importers.onnx_form.building.counted.functions import ORIGINS
from tvmopt.pipeline.importers.onnx_form.building.suppression import SELECTED_BOXES
from tvmopt.schedules.operators import OPERATORS


def test_each_rule_is_in_the_table_once() -> None:
    kinds = [kind for operator in OPERATORS.values() for kind in operator.forms]
    # A transpose that moves nothing is a view already when operators are recognised.
    recognized = {*rules(), *typed.RULES, *MOVES, *OWN_KERNELS}
    # The importer has made operators of ours of these by then.
    assert sorted(kinds) == sorted(recognized - {SELECTED_BOXES, *ORIGINS} | {*ORIGINS.values()})
