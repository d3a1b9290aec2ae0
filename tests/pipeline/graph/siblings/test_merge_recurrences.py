from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.graph.passes.keep_rows_divided import keep_rows_divided
from tvmopt.pipeline.graph.passes.merge_reshapes import merge_reshapes
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.pipeline.graph.siblings.merge_recurrences import merge_recurrences
from tvmopt.pipeline.graph.siblings.repeat_late import repeat_late
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.support.shipped import shipped
from tvmopt.schedules.target import parse_target

BEFORE = (recognize, merge_reshapes, keep_rows_divided)
PASSES = (*BEFORE, repeat_late, merge_recurrences)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, FEATURES, HIDDEN = 4, 5, 7
SIZE = {"hidden_size": HIDDEN}


def parts(weights: Any, kind: str, mark: str = "", directions: int = 1) -> dict[str, np.ndarray]:
    width = GATES[kind] * HIDDEN
    shapes = {"w": (directions, width, FEATURES), "r": (directions, width, HIDDEN), "b": (directions, 2 * width)}
    return {f"{name}{mark}": weights(*shape) / 2 for name, shape in shapes.items()}


@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("kind", GATES)
def test_rows_of_several_calls_are_one_batch(through: Any, weights: Any, kind: str, direction: str) -> None:
    """The weights of each call may be arrays of their own, as exporters write them, if their numbers are equal."""
    constants = parts(weights, kind)
    copies = {f"{name}2": array.copy() for name, array in constants.items()}
    attributes = {**SIZE, "direction": direction}
    done = through(
        (kind, "x w r b", "y h", attributes),
        (kind, "z w2 r2 b2", "q p", attributes),
        (kind, "u w r b", ". o", attributes),
        passes=PASSES,
        inputs={"x": (STEPS, 1, FEATURES), "z": (STEPS, 3, FEATURES), "u": (STEPS, 2, FEATURES)},
        outputs="y h q p o",
        **constants,
        **copies,
    )
    assert done.ops().count("recurrence") == done.ops().count("dense") == 1
    assert done.tensor("recurrence").shape == (STEPS, 6, HIDDEN)
    done.check()


def test_first_states_and_last_cells_join(through: Any, weights: Any) -> None:
    zero = np.zeros((1, 2, HIDDEN), np.float32)
    done = through(
        ("LSTM", "x w r b . i j", "y h c", SIZE),
        ("LSTM", "z w r b . k l", "q p o", SIZE),
        passes=PASSES,
        inputs={"x": (STEPS, 1, FEATURES), "z": (STEPS, 2, FEATURES), "i": (1, 1, HIDDEN)},
        outputs="y h c q p o",
        j=weights(1, 1, HIDDEN),
        k=weights(1, 2, HIDDEN),
        l=zero + 1,
        **parts(weights, "LSTM"),
    )
    assert done.tensor("recurrence").shape == (STEPS + 1, 3, HIDDEN)
    done.check()


def test_what_follows_all_alike_is_merged(through: Any, weights: Any) -> None:
    """Up to where one result goes another way; a constant that differs from row to row ends it as well."""
    nodes = []
    for mark, last in (("1", "Exp"), ("2", "Exp"), ("3", "Neg")):
        nodes += [
            ("LSTM", f"x{mark} w r b", f"y{mark}", SIZE),
            ("Squeeze", f"y{mark} axis", f"s{mark}"),
            ("MatMul", f"s{mark} v", f"m{mark}"),
            ("Add", f"m{mark} a", f"n{mark}"),
            ("Slice", f"n{mark} zero two axis2", f"c{mark}"),
            ("Tanh", f"c{mark}", f"t{mark}"),
            ("Concat", f"t{mark} n{mark}", f"d{mark}", {"axis": 2}),
            ("Transpose", f"d{mark}", f"e{mark}", {"perm": [1, 0, 2]}),
            ("Softmax", f"e{mark}", f"f{mark}", {"axis": 2}),
            (last, f"f{mark}", f"o{mark}"),
        ]
    done = through(
        *nodes,
        passes=PASSES,
        inputs={f"x{mark}": (STEPS, 2, FEATURES) for mark in "123"},
        outputs="o1 o2 o3",
        opset=18,
        v=weights(HIDDEN, 3),
        a=weights(3),
        axis=np.array([1]),
        axis2=np.array([2]),
        zero=np.array([0]),
        two=np.array([2]),
        **parts(weights, "LSTM"),
    )
    kinds = done.ops()
    assert [kinds.count(kind) for kind in ("recurrence", "dense", "Transpose", "softmax")] == [1, 2, 1, 1]
    assert done.tensor("softmax").shape == (6, STEPS, 5)
    assert kinds.count("Slice") == 1 + 3
    done.check()


@pytest.mark.parametrize("operand", [(STEPS, 2, 1), (2, 1), (1, 1, HIDDEN)])
def test_constants_that_differ_between_rows_are_not_shared(through: Any, weights: Any, operand: Any) -> None:
    nodes: list[Any] = []
    for mark in "12":
        nodes += [
            ("LSTM", f"x{mark} w r b", f"y{mark}", SIZE),
            ("Squeeze", f"y{mark} axis", f"s{mark}"),
            ("Mul", f"s{mark} a", f"o{mark}"),
        ]
    done = through(
        *nodes,
        passes=PASSES,
        inputs={"x1": (STEPS, 2, FEATURES), "x2": (STEPS, 2, FEATURES)},
        outputs="o1 o2",
        opset=18,
        a=weights(*operand),
        axis=np.array([1]),
        **parts(weights, "LSTM"),
    )
    assert done.ops().count("pointwise") == (1 if operand[0] == 1 else 2)
    done.check()


def test_a_recurrence_that_reads_another_stays(through: Any, weights: Any) -> None:
    """Pairs one behind the other: the first two are merged, then the second two, but not a first with a second."""
    constants = {**parts(weights, "GRU"), "v": weights(HIDDEN, FEATURES)}
    nodes: list[Any] = []
    for mark in "12":
        nodes += [
            ("GRU", f"x{mark} w r b", f"y{mark}", SIZE),
            ("Squeeze", f"y{mark} axis", f"s{mark}"),
            ("MatMul", f"s{mark} v", f"m{mark}"),
            ("GRU", f"m{mark} w r b", f"o{mark}", SIZE),
        ]
    inputs = {"x1": (STEPS, 1, FEATURES), "x2": (STEPS, 2, FEATURES)}
    done = through(*nodes, passes=PASSES, inputs=inputs, outputs="o1 o2", opset=18, axis=np.array([1]), **constants)
    assert done.ops().count("recurrence") == 2
    done.check()


def test_crossed_pairs_are_not_merged_into_a_circle(through: Any, weights: Any) -> None:
    """One network runs layer A before B, the other B before A: both of A as one would have to wait for themselves."""
    constants = {**parts(weights, "GRU", "A"), **parts(weights, "GRU", "B"), "v": weights(HIDDEN, FEATURES)}
    nodes: list[Any] = []
    for mark, (first, second) in {"1": "AB", "2": "BA"}.items():
        nodes += [
            ("GRU", f"x{mark} w{first} r{first} b{first}", f"y{mark}", SIZE),
            ("Squeeze", f"y{mark} axis", f"s{mark}"),
            ("MatMul", f"s{mark} v", f"m{mark}"),
            ("GRU", f"m{mark} w{second} r{second} b{second}", f"o{mark}", SIZE),
        ]
    inputs = {"x1": (STEPS, 1, FEATURES), "x2": (STEPS, 2, FEATURES)}
    done = through(*nodes, passes=PASSES, inputs=inputs, outputs="o1 o2", opset=18, axis=np.array([1]), **constants)
    assert done.ops().count("recurrence") == 3
    done.check()


@pytest.mark.parametrize("what", ["weights", "steps", "activations", "directions"])
def test_others_are_left(through: Any, weights: Any, what: str) -> None:
    constants = parts(weights, "LSTM", directions=1 + (what == "directions"))
    attributes = {**SIZE, "direction": "bidirectional" if what == "directions" else "forward"}
    second = {**attributes, "activations": ["Sigmoid", "Relu", "Tanh"]} if what == "activations" else attributes
    changed = constants["r"].copy()
    changed[0, 0, 0] = -changed[0, 0, 0] if what == "weights" else changed[0, 0, 0]
    done = through(
        ("LSTM", "x w r b", "y", attributes),
        ("LSTM", "z w r2 b", "q", second),
        passes=PASSES,
        inputs={"x": (STEPS, 1, FEATURES), "z": (STEPS + (what == "steps"), 1, FEATURES)},
        outputs="y q",
        r2=changed,
        **constants,
    )
    assert done.ops().count("recurrence") == 2
    done.check()


def test_repeated_inputs_of_other_lengths_stay_apart(through: Any, weights: Any) -> None:
    """Their projections are both of one step."""
    done = through(
        ("Tile", "x five", "t"),
        ("LSTM", "t w r b", "y h", SIZE),
        ("Tile", "z nine", "u"),
        ("LSTM", "u w r b", "q p", SIZE),
        ("LSTM", "v w r b", "o", SIZE),
        passes=PASSES,
        inputs={"x": (1, 2, FEATURES), "z": (1, 2, FEATURES), "v": (1, 2, FEATURES)},
        outputs="y h q p o",
        five=np.array([5, 1, 1]),
        nine=np.array([9, 1, 1]),
        **parts(weights, "LSTM"),
    )
    assert done.ops().count("recurrence") == 3
    done.check()


def test_reshapes_to_other_shapes_are_not_merged(through: Any, weights: Any) -> None:
    width = {"hidden_size": 8}
    constants = {
        name: np.resize(array, (*array.shape[:1], 32, *array.shape[2:]))
        for name, array in parts(weights, "LSTM").items()
    }
    constants["r"], constants["b"] = np.resize(constants["r"], (1, 32, 8)), np.resize(constants["b"], (1, 64))
    nodes: list[Any] = []
    for mark in "12":
        nodes += [
            ("LSTM", f"x{mark} w r b", f"y{mark}", width),
            ("Squeeze", f"y{mark} axis", f"s{mark}"),
            ("Reshape", f"s{mark} shape{mark}", f"o{mark}"),
        ]
    done = through(
        *nodes,
        passes=PASSES,
        inputs={"x1": (STEPS, 3, FEATURES), "x2": (STEPS, 3, FEATURES)},
        outputs="o1 o2",
        opset=18,
        axis=np.array([1]),
        shape1=np.array([STEPS, 3, 2, 4]),
        shape2=np.array([STEPS, 3, 4, 2]),
        **constants,
    )
    done.check()


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("form", ["Tile", "Expand", "Concat"])
def test_the_same_input_at_every_step_is_projected_once(through: Any, weights: Any, kind: str, form: str) -> None:
    nodes = {
        "Tile": [("Tile", "x times", "t")],
        "Expand": [("Expand", "x shape", "t")],
        "Concat": [("Tile", "x times", "s"), ("Concat", "s same", "t", {"axis": 2})],
    }[form]
    width = FEATURES - 2 if form == "Concat" else FEATURES
    outputs = "y h c" if kind == "LSTM" else "y h"
    done = through(
        *nodes,
        (kind, "t w r b", outputs, {**SIZE, "direction": "reverse"}),
        passes=PASSES,
        inputs={"x": (1, 2, width)},
        outputs=outputs,
        times=np.array([STEPS, 1, 1]),
        shape=np.array([STEPS, 1, 1]),
        same=np.tile(weights(1, 2, 2), (STEPS, 1, 1)),
        **parts(weights, kind),
    )
    assert done.tensor("recurrence", 0).shape == (1, 2, GATES[kind] * HIDDEN)
    done.check()


@pytest.mark.parametrize("form", ["Tile", "Concat", "constant"])
def test_inputs_that_differ_between_steps_are_left(through: Any, weights: Any, form: str) -> None:
    nodes = {
        "Tile": [("Tile", "x times", "t")],
        "Concat": [("Concat", "z z", "t", {"axis": 0})],
        "constant": [("Tile", "z times", "s"), ("Concat", "s other", "t", {"axis": 2})],
    }[form]
    width = FEATURES - 2 if form == "constant" else FEATURES
    done = through(
        *nodes,
        ("LSTM", "t w r b", "y", SIZE),
        passes=PASSES,
        inputs={"x": (2, 2, width)} if form == "Tile" else {"z": (1, 2, width)},
        outputs="y",
        times=np.array([2, 1, 1]),
        other=weights(2, 2, 2),
        **parts(weights, "LSTM"),
    )
    assert done.tensor("recurrence", 0).shape[0] > 1
    done.check()


@pytest.mark.slow
def test_cs_lstm_has_one_batch_of_encoders_and_one_of_decoders(check_whole: Any) -> None:
    imported = load_model(f"{shipped('models') / 'literature' / 'cs_lstm.py'}:vehicles_16")
    graph = optimize(imported, parse_target("x86-64-v3")).graph
    batches = [graph.tensor(node.output).shape for node in graph.nodes if node.op == "recurrence"]
    assert batches == [(16, 17, 64), (25, 6, 128)]
    assert not any(node.kind == "ScatterND" for node in graph.nodes)
    check_whole(imported, parse_target("llvm"))
