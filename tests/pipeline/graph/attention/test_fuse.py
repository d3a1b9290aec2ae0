from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.pipeline.graph.attention.forms import FORMS, SOFTMAX, between, form
from tvmopt.pipeline.graph.attention.fuse import fuse_attention
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target

MOVED = {"reshape", "Transpose", "Split", "Slice", "Expand"}
TARGET = parse_target("x86-64-v3", 2)
PLAIN = {"q": (2, 7, 5), "k": (2, 5, 11), "v": (2, 11, 3)}
PRODUCTS = [("MatMul", "q k", "m"), SOFTMAX, ("MatMul", "p v", "y")]


@pytest.fixture
def fused(through: Any) -> Any:
    """A form after the pass, which computes the same and leaves its input alone."""

    def send(parts: dict[str, Any]) -> Any:
        options = {"inputs": parts["inputs"], "outputs": parts["outputs"], **parts["constants"]}
        before = through(*parts["nodes"], passes=(recognize,), **options)
        kinds = before.ops()
        done = through(*parts["nodes"], passes=(recognize, fuse_attention), **options)
        assert before.ops() == kinds
        done.check()
        return done

    return send


@pytest.mark.parametrize("name", FORMS)
def test_every_form_becomes_one_kernel(fused: Any, name: str) -> None:
    done = fused(FORMS[name])
    node = done.node("attention")
    assert template_for(workload_of(done.graph, node), TARGET).name == "attention"
    # What is left is a mask that another runtime's order of elements forces to be moved, and heads that are joined.
    others = [kind for kind in done.ops() if kind not in ("attention", "Where", "Cast", "reshape")]
    assert others.count("Transpose") <= 1
    assert set(others) <= {"Transpose"}


@pytest.mark.parametrize("name", ["eager", "sdpa, guarded", "timm", "gpt"])
def test_nothing_is_left_of_the_moves(fused: Any, name: str) -> None:
    done = fused(FORMS[name])
    assert done.ops() == ["attention"]
    assert done.node("attention").inputs[:3] in (("q", "k", "v"), ("x", "x", "x"))
    assert done.node("attention").outputs == ("y",)


def test_it_stands_for_all_its_layers(fused: Any) -> None:
    done = fused(FORMS["timm"])
    assert done.node("attention").layers == tuple(f"{op}{i}" for i, (op, *_) in enumerate(FORMS["timm"]["nodes"]))


def test_guards_and_scales_are_read(fused: Any) -> None:
    assert fused(FORMS["sdpa, guarded"]).node("attention").attrs["guard"] == 1
    assert fused(FORMS["causal"]).node("attention").attrs["guard"] == 0


def test_layers_share_a_transposed_mask(through: Any) -> None:
    one = [("MatMul", "q k", "s"), ("Add", "s mask", "m"), SOFTMAX, ("MatMul", "p v", "a")]
    two = [("MatMul", "a k3", "s4"), ("Add", "s4 mask", "m4"), ("Softmax", "m4", "p4"), ("MatMul", "p4 v", "y")]
    inputs = {**PLAIN, "k3": (2, 3, 11), "mask": (7, 11)}
    done = through(*one, *two, inputs=inputs, outputs="y", passes=(recognize, fuse_attention))
    assert sorted(done.ops()) == ["Transpose", "attention", "attention"]
    done.check()


LEFT_ALONE: dict[str, Any] = {
    "the weights are an output": {"nodes": PRODUCTS, "inputs": PLAIN, "outputs": "p y"},
    "the scores are read elsewhere": {"nodes": [*PRODUCTS, ("Relu", "m", "z")], "inputs": PLAIN, "outputs": "y z"},
    "softmax over queries": form(
        *(("MatMul", "q k", "m"), ("Softmax", "m", "p", {"axis": 1}), ("MatMul", "p v", "y")), inputs=PLAIN
    ),
    "weights on the right": form(
        *(("MatMul", "q k", "m"), SOFTMAX, ("MatMul", "v p", "y")),
        inputs={"q": (2, 7, 5), "k": (2, 5, 7), "v": (2, 7, 7)},
    ),
    "no first product": form(SOFTMAX, ("MatMul", "p v", "y"), inputs={"m": (2, 7, 11), "v": (2, 11, 3)}),
    "scores used twice": between(("Mul", "s s", "m"), SOFTMAX),
    "another dtype": form(*PRODUCTS, inputs={name: ("float64", *shape) for name, shape in PLAIN.items()}),
}


@pytest.mark.parametrize("name", LEFT_ALONE)
def test_other_products_stay(fused: Any, name: str) -> None:
    parts = {"constants": {}, **LEFT_ALONE[name]}
    assert "attention" not in fused(parts).ops()


def test_values_whose_columns_are_apart_are_copied_first(fused: Any) -> None:
    moved = form(
        *(("MatMul", "q k", "m"), SOFTMAX, ("Transpose", "v", "v1", {"perm": [0, 2, 1]}), ("MatMul", "p v1", "y")),
        inputs={"q": (2, 7, 5), "k": (2, 5, 11), "v": (2, 3, 11)},
    )
    done = fused(moved)
    assert done.ops() == ["Transpose", "attention"]
    assert done.node("attention").inputs == ("q", "k", "v1")


def test_weights_that_only_the_guard_knows(fused: Any) -> None:
    """A guard that puts something else than zero in place of NaN is none."""
    nodes = [("MatMul", "q k", "m"), ("Softmax", "m", "p1"), ("IsNaN", "p1", "n"), ("Where", "n one p1", "p")]
    done = fused(form(*nodes, ("MatMul", "p v", "y"), inputs=PLAIN, one=np.float32(1)))
    assert "attention" not in done.ops()
