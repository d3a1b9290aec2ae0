from __future__ import annotations

import json
import math
import pickle

import pytest

from tvmopt.schedules.expression import (
    ACC,
    Arg,
    Call,
    Const,
    Expr,
    Named,
    arguments_of,
    call,
    expression_from_json,
    functions_of,
    reads_of,
    rename_arguments,
    size_of,
    taken_factor,
)

SUM = call("add", call("mul", Arg(0), Const(2.0)), call("relu", call("sub", ACC, Arg(3))))


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (ACC, '["acc"]'),
        (Arg(2), '["arg", 2]'),
        (Const(6.0), '["const", 6.0]'),
        (Const(6), '["const", 6]'),
        (SUM, '["add", ["mul", ["arg", 0], ["const", 2.0]], ["relu", ["sub", ["acc"], ["arg", 3]]]]'),
    ],
)
def test_json_is_nested_lists(expr: Expr, text: str) -> None:
    assert json.dumps(expr.to_json()) == text
    again = expression_from_json(json.loads(text))
    assert again == expr
    assert hash(again) == hash(expr)
    assert json.dumps(again.to_json()) == text


@pytest.mark.parametrize(
    "data",
    [[], "acc", 3, None, ["acc", 1], ["arg"], ["arg", "x"], ["const", "x"], ["const", [1]], ["relu", "x"], [["acc"]]],
)
def test_other_json_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match="not an expression"):
        expression_from_json(data)


def test_names_of_a_kernel_stay_in_it() -> None:
    with pytest.raises(TypeError, match="named value 'h' exists only inside a kernel and has no JSON form"):
        call("tanh", Named("h")).to_json()


def test_expressions_are_told_apart() -> None:
    different = [ACC, Arg(0), Arg(1), Const(0.0), Named("0"), call("relu", ACC), call("relu", Arg(0)), call("neg", ACC)]
    assert len(set(different)) == len(different)
    assert pickle.loads(pickle.dumps(SUM)) == SUM
    assert "_hash" not in repr(SUM)


def test_what_an_expression_has() -> None:
    assert functions_of(SUM) == {"add", "mul", "relu", "sub"}
    assert arguments_of(SUM) == {0, 3}
    assert (size_of(SUM), size_of(ACC)) == (4, 0)
    assert (reads_of(SUM, {0}), reads_of(call("mul", SUM, Arg(0)), {0, 3}), reads_of(SUM, set())) == (1, 3, 0)
    assert arguments_of(ACC) == functions_of(ACC) == set()


def test_arguments_are_renamed() -> None:
    swapped = rename_arguments(SUM, lambda i: call("neg", Arg(3 - i)))
    assert arguments_of(swapped) == {0, 3}
    assert functions_of(swapped) == {"add", "mul", "relu", "sub", "neg"}
    assert rename_arguments(Named("h"), Arg) == Named("h")
    assert isinstance(swapped, Call)


THIRD = call("add", call("mul", Const(0.5), call("mul", ACC, Const(3.0))), Arg(3))


@pytest.mark.parametrize(
    ("expr", "factor", "rest"),
    [
        (ACC, 1.0, ACC),
        (call("mul", ACC, Const(0.25)), 0.25, ACC),
        (call("div", ACC, Const(8.0)), 0.125, ACC),
        (THIRD, 1.5, call("add", ACC, Arg(3))),
        (call("mul", call("div", ACC, Const(3.0)), Const(0.5)), 1.0, None),
        (call("add", call("mul", ACC, Const(2.0)), ACC), 1.0, None),
        (call("mul", ACC, Arg(3)), 1.0, None),
        (call("mul", ACC, Const(0.0)), 1.0, None),
        (call("mul", ACC, Const(math.inf)), 1.0, None),
        (call("mul", call("relu", ACC), Const(0.5)), 1.0, None),
        (call("add", Arg(3), Const(2.0)), 1.0, None),
    ],
)
def test_a_factor_of_the_result_is_taken(expr: Expr, factor: float, rest: Expr | None) -> None:
    assert taken_factor(expr) == (factor, expr if rest is None else rest)
