from __future__ import annotations

import pytest

from tests.workloads.recurrences import recurrence
from tvmopt.schedules.compute.functions import ARITY
from tvmopt.schedules.compute.recurrent import GATES, cell_of, operands_of, shape_of
from tvmopt.schedules.expression import Call, Expr, Named, functions_of


def names_in(expr: Expr) -> set[str]:
    own = {expr.name} if isinstance(expr, Named) else set()
    return own.union(*map(names_in, expr.operands if isinstance(expr, Call) else ()))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("clip", [0.0, 3.0])
def test_each_step_reads_available_values(kind: str, before: int, clip: float) -> None:
    cell = cell_of(recurrence(kind, clip=clip, linear_before_reset=before))
    stored = {"h", *cell.memory}
    for stage in cell.stages:
        known = {f"a_{gate}" for gate in stage.gates} | {f"x_{gate}" for gate in stage.gates} | stored
        for name, expr in stage.steps:
            assert names_in(expr) <= known
            assert functions_of(expr) <= set(ARITY)
            known.add(name)
        assert set(stage.stores) <= {name for name, _ in stage.steps}
    assert cell.stages[-1].stores[-1] == "h"
    assert sorted(gate for stage in cell.stages for gate in stage.gates) == sorted(GATES[kind])
    assert {name for stage in cell.stages for name in stage.stores} == stored


def test_only_a_reset_before_the_product_takes_two_stages() -> None:
    counts = {(k, lbr): len(cell_of(recurrence(k, linear_before_reset=lbr)).stages) for k in GATES for lbr in (0, 1)}
    assert {key for key, count in counts.items() if count == 2} == {("gru", 0)}


def test_the_output_gate_sees_the_new_cell() -> None:
    names = [name for name, _ in cell_of(recurrence("lstm", operands="peepholes")).stages[0].steps]
    assert names.index("f") < names.index("c") < names.index("o")


def test_sizes() -> None:
    workload = recurrence("gru", steps=4, batch=3, directions=2, hidden=7, operands="bias initial_h")
    shape = shape_of(workload)
    assert (shape.steps, shape.batch, shape.directions, shape.gates, shape.hidden) == (4, 3, 2, 3, 7)
    assert operands_of(workload) == ("bias", "initial_h")


@pytest.mark.parametrize(("kind", "activations"), [("lstm", "sigmoid tanh"), ("gru", "sigmoid cosine"), ("mgu", "")])
def test_other_cells_are_refused(kind: str, activations: str) -> None:
    with pytest.raises(ValueError, match="no recurrent cell"):
        cell_of(recurrence("lstm", changed={"kind": kind, "activations": activations}))
