from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.passes.fuse_epilogue import MAX_FUNCTIONS, fuse_epilogue
from tvmopt.pipeline.graph.recognize import recognize
from tvmopt.schedules.expression import ACC, Arg, call, functions_of

PASSES = (recognize, fuse_epilogue)
IMAGE = {"x": (1, 4, 5, 5)}


@pytest.fixture
def fused(through: Any, weights: Any) -> Any:
    """A convolution of ``x`` named ``c``, then further nodes, recognised and fused."""

    def send(*nodes: Any, outputs: str = "y", inputs: Any = None, opset: int = 18, **constants: Any) -> Any:
        constants = {"w": weights(4, 4, 3, 3), "b": weights(4), **constants}
        conv = ("Conv", "x w b", "c", {"pads": [1, 1, 1, 1]})
        return through(
            conv, *nodes, passes=PASSES, inputs={**IMAGE, **(inputs or {})}, outputs=outputs, opset=opset, **constants
        )

    return send


def test_bias_and_activation(fused: Any) -> None:
    done = fused(("Relu", "c", "y"))
    (node,) = done.graph.nodes
    assert node.epilogue == call("relu", call("add", ACC, Arg(2)))
    assert node.layers == ("Conv0", "Relu1")
    assert node.outputs == ("y",)
    done.check()


def test_residual_addition(fused: Any) -> None:
    done = fused(("Add", "c x", "s"), ("Relu", "s", "y"))
    (node,) = done.graph.nodes
    assert node.inputs[0] == "x"
    assert node.inputs[3] == "x"
    assert node.epilogue == call("relu", call("add", call("add", ACC, Arg(2)), Arg(3)))
    done.check()


def test_the_later_of_two_convolutions_takes_the_addition(fused: Any) -> None:
    done = fused(("Conv", "x w", "d", {"pads": [1, 1, 1, 1]}), ("Add", "c d", "y"))
    first, second = done.graph.nodes
    assert (first.output, second.output) == ("c", "y")
    assert second.inputs[-1] == "c"
    done.check()


@pytest.mark.parametrize(
    "nodes",
    [
        [("Sigmoid", "c", "s"), ("Mul", "c s", "y")],
        [("Sigmoid", "c", "s"), ("Mul", "s c", "y")],
        [("HardSigmoid", "c", "s", {"alpha": 1 / 6, "beta": 0.5}), ("Mul", "c s", "y")],
        [("Softplus", "c", "p"), ("Tanh", "p", "t"), ("Mul", "c t", "y")],
    ],
    ids=["silu", "silu the other way", "hard swish", "mish"],
)
def test_activations_that_read_their_input_twice(fused: Any, nodes: Any) -> None:
    done = fused(*nodes)
    assert done.ops() == ["conv2d"]
    done.check()


def test_squeeze_and_excitation(fused: Any, weights: Any) -> None:
    done = fused(
        ("GlobalAveragePool", "c", "p"),
        ("Conv", "p u", "q"),
        ("Sigmoid", "q", "s"),
        ("Mul", "c s", "y"),
        u=weights(4, 4, 1, 1),
    )
    assert done.ops() == ["conv2d", "pool2d", "conv2d", "pointwise"]
    assert "sigmoid" in functions_of(done.graph.nodes[2].epilogue)
    done.check()


@pytest.mark.parametrize("outputs", ["y c", "y z"])
def test_results_that_others_read_stay(fused: Any, outputs: str) -> None:
    done = fused(("Relu", "c", "y"), ("Neg", "c", "z"), outputs=outputs)
    assert done.ops()[0] == "conv2d"
    assert done.graph.nodes[0].output == "c"
    assert "pointwise" in done.ops()
    done.check()


@pytest.mark.parametrize(
    ("shape", "ops"),
    [
        ((), ["conv2d"]),
        ((1, 4, 1, 1), ["conv2d"]),
        ((1, 1, 5, 5), ["conv2d"]),
        ((1, 1, 1, 5), ["conv2d"]),
        ((4, 1, 1), ["conv2d"]),
        ((5,), ["conv2d"]),
    ],
)
def test_constants_that_broadcast(fused: Any, weights: Any, shape: tuple[int, ...], ops: list[str]) -> None:
    done = fused(("Mul", "c k", "y"), k=weights(*shape))
    assert done.ops() == ops
    done.check()


@pytest.mark.parametrize(
    ("shape", "ops"),
    [
        ((), ["conv2d"]),
        ((1, 4, 1, 1), ["conv2d"]),
        ((1, 1, 5, 5), ["conv2d"]),
        ((4, 1, 1), ["conv2d", "pointwise"]),
        ((5, 5), ["conv2d", "pointwise"]),
    ],
)
def test_values_that_broadcast(fused: Any, shape: tuple[int, ...], ops: list[str]) -> None:
    """A kernel reads a value as a feature map; a value of another rank gets a separate kernel."""
    done = fused(("Mul", "c k", "y"), inputs={"k": shape})
    assert done.ops() == ops
    done.check()


def test_operands_that_enlarge_the_result_stay_separate(fused: Any) -> None:
    done = fused(("Add", "c k", "y"), inputs={"k": (3, 4, 5, 5)})
    assert done.ops() == ["conv2d", "pointwise"]
    done.check()


def test_expressions_do_not_grow_without_end(fused: Any) -> None:
    names = ["c", *(f"v{i}" for i in range(40)), "y"]
    nodes = [("Tanh" if i % 2 else "Abs", a, b) for i, (a, b) in enumerate(itertools.pairwise(names))]
    done = fused(*nodes)
    assert len(done.ops()) == 2
    done.check()


def test_doubling_expressions_do_not_grow_without_end(fused: Any) -> None:
    nodes: list[Any] = []
    name = "c"
    for i in range(8):
        nodes += [("Sigmoid", name, f"s{i}"), ("Mul", f"{name} s{i}", f"v{i}")]
        name = f"v{i}"
    done = fused(*nodes, outputs=name)
    sizes = [str(node.epilogue).count("sigmoid") for node in done.graph.nodes]
    assert max(sizes) <= 2 * MAX_FUNCTIONS
    assert len(done.ops()) > 1
    done.check()


def test_elementwise_operators_join_each_other(through: Any) -> None:
    done = through(
        ("Add", "x z", "a"),
        ("Relu", "a", "r"),
        ("Mul", "r z", "m"),
        ("Sub", "m x", "y"),
        passes=PASSES,
        inputs={"x": (2, 3), "z": (3,)},
        outputs="y",
    )
    (node,) = done.graph.nodes
    assert set(node.inputs) == {"x", "z"}
    assert len(node.layers) == 4
    done.check()


def test_an_operand_read_twice_is_computed_once(through: Any) -> None:
    """The sum would be computed twice if it became part of the product."""
    done = through(("Exp", "x", "e"), ("Mul", "e e", "y"), passes=PASSES, inputs={"x": (2, 3)}, outputs="y")
    assert done.ops() == ["pointwise", "pointwise"]
    done.check()


def test_a_smaller_operand_stays_apart(through: Any) -> None:
    """It would be computed again for every element it broadcasts to."""
    done = through(("Exp", "z", "e"), ("Mul", "x e", "y"), passes=PASSES, inputs={"x": (2, 3), "z": (3,)}, outputs="y")
    assert done.ops() == ["pointwise", "pointwise"]
    done.check()


@pytest.mark.parametrize(
    ("left", "right", "operand", "constant", "ops"),
    [
        ((3, 7), (7, 5), (5,), True, ["dense"]),
        ((3, 7), (7, 5), (1, 5), True, ["dense"]),
        ((3, 7), (7, 5), (3, 5), True, ["dense"]),
        ((3, 7), (7, 5), (3, 5), False, ["dense"]),
        ((3, 7), (7, 5), (), False, ["dense"]),
        ((3, 7), (7, 5), (3, 1), True, ["dense", "pointwise"]),
        ((3, 7), (7, 5), (5,), False, ["dense", "pointwise"]),
        ((5, 7), (7, 5), (5, 1), True, ["dense", "pointwise"]),
        ((2, 3, 7), (7, 5), (2, 1, 5), True, ["dense", "pointwise"]),
        ((2, 3, 7), (7, 5), (2, 3, 5), False, ["dense"]),
        ((2, 3, 7), (7, 1), (1,), True, ["dense"]),
    ],
)
def test_dense_layers(
    through: Any, weights: Any, left: Any, right: Any, operand: Any, constant: bool, ops: list[str]
) -> None:
    inputs = {"x": left} | ({} if constant else {"k": operand})
    constants = {"w": weights(*right)} | ({"k": weights(*operand)} if constant else {})
    done = through(
        ("MatMul", "x w", "m"),
        ("Add", "m k", "a"),
        ("Relu", "a", "y"),
        passes=PASSES,
        inputs=inputs,
        outputs="y",
        **constants,
    )
    assert done.ops() == ops
    done.check()


def test_pooling(through: Any, weights: Any) -> None:
    done = through(
        ("MaxPool", "x", "p", {"kernel_shape": [2, 2]}),
        ("Mul", "p k", "m"),
        ("Relu", "m", "y"),
        passes=PASSES,
        inputs=IMAGE,
        outputs="y",
        k=weights(1, 4, 1, 1),
    )
    assert done.ops() == ["pool2d"]
    done.check()


@pytest.mark.parametrize(
    ("node", "ops"),
    [
        (("Div", "c six", "y"), ["conv2d"]),
        (("Div", "six c", "y"), ["conv2d", "pointwise"]),
        (("Reciprocal", "c", "y"), ["conv2d", "pointwise"]),
    ],
)
def test_functions_infinite_at_zero_stay_separate(fused: Any, node: Any, ops: list[str]) -> None:
    done = fused(node, six=np.float32(6))
    assert done.ops() == ops
    done.check(1e-4)


@pytest.mark.parametrize("node", [("Softmax", "x", "s"), ("ReduceSum", "x", "s"), ("Transpose", "x", "s")])
def test_other_operators_take_no_epilogue(through: Any, node: Any) -> None:
    done = through(node, ("Relu", "s", "y"), passes=PASSES, inputs={"x": (2, 3)}, outputs="y")
    assert done.ops()[1] == "pointwise"
    done.check()


def test_nodes_stay_in_an_order_that_runs(fused: Any, weights: Any) -> None:
    done = fused(
        ("Conv", "x v", "d"),
        ("Sigmoid", "d", "s"),
        ("GlobalMaxPool", "s", "g"),
        ("Mul", "c g", "y"),
        v=weights(4, 4, 1, 1),
    )
    known = {"x", *done.graph.constants}
    for node in done.graph.nodes:
        assert known.issuperset(node.inputs)
        known.update(node.outputs)
    done.check()


def test_the_given_graph_stays(through: Any, weights: Any) -> None:
    before = through(
        ("Conv", "x w", "c"), ("Relu", "c", "y"), passes=(recognize,), inputs=IMAGE, outputs="y", w=weights(4, 4, 1, 1)
    )
    fuse_epilogue(before.graph)
    assert before.ops() == ["conv2d", "pointwise"]
