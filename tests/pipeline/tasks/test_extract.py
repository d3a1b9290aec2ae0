from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.graph.optimize import OptimizedModel, optimize
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor

TARGET = parse_target("x86-64-v3", 2)
PADDED = {"pads": [1, 1, 1, 1]}


@pytest.fixture
def optimized(onnx_model: Any, imported: Any) -> Callable[..., OptimizedModel]:
    """A model from its nodes, imported and optimised."""
    return lambda *nodes, **options: optimize(imported(onnx_model(*nodes, **options)), TARGET)


def test_identical_layers_are_one_task(optimized: Any, weights: Any) -> None:
    given = optimized(
        ("Conv", "x a", "c", PADDED),
        ("Relu", "c", "r"),
        ("Conv", "r b", "d", PADDED),
        ("Relu", "d", "e"),
        ("Conv", "e b", "f", PADDED),
        ("Flatten", "f", "g"),
        ("MatMul", "g k", "y"),
        inputs={"x": (1, 8, 6, 6)},
        outputs="y",
        a=weights(8, 8, 3, 3),
        b=weights(8, 8, 3, 3),
        k=weights(288, 5),
    )
    tasks = extract_tasks(given)
    assert [(task.workload.op, task.weight) for task in tasks] == [
        ("relayout", 1),
        ("conv2d", 2),
        ("conv2d", 1),
        ("relayout", 1),
        ("dense", 1),
    ]
    assert tasks[1].layers == ("Conv0", "Conv2")
    assert all(task.name == task.workload.key for task in tasks)
    assert all(template_for(task.workload, TARGET).accepts(task.workload, TARGET) for task in tasks)


def test_nodes_without_kernel_make_no_task(optimized: Any) -> None:
    given = optimized(("Hardmax", "x", "t"), ("Flatten", "t", "y"), inputs={"x": (2, 3, 4)}, outputs="y")
    assert extract_tasks(given) == ()


def test_products_reductions_and_softmax_have_three_dimensions(optimized: Any, weights: Any) -> None:
    given = optimized(
        ("MatMul", "x w", "m"),
        ("Add", "m b", "a"),
        ("Softmax", "a", "s", {"axis": 2}),
        ("ReduceSum", "s axes", "y"),
        inputs={"x": (2, 3, 4, 5)},
        outputs="y",
        w=weights(5, 7),
        b=weights(7),
        axes=np.array([1, 2]),
    )
    nodes = [node for node in given.graph.nodes if node.op != "reshape"]
    dense, softmax, reduce = (workload_of(given.graph, node) for node in nodes)
    assert dense.inputs == (Tensor((1, 24, 5)), Tensor((5, 7)), Tensor((1, 1, 7)))
    assert dense.output == Tensor((1, 24, 7))
    assert softmax.output == Tensor((6, 4, 7))
    assert (reduce.inputs, reduce.output) == ((Tensor((2, 12, 7)),), Tensor((2, 1, 7)))


def test_tables_of_resizing_are_operands_of_its_own(optimized: Any, weights: Any) -> None:
    """They stay unchanged; a constant of an epilogue would get the rank and blocks of the map."""
    given = optimized(
        ("Conv", "x a", "c"),
        ("Resize", "c roi scales", "y", {"mode": "linear"}),
        inputs={"x": (1, 8, 6, 6)},
        outputs="y",
        a=weights(8, 8, 3, 3),
        roi=np.zeros(0, np.float32),
        scales=np.array([1, 1, 2, 2], np.float32),
    )
    (task,) = [task for task in extract_tasks(given) if task.workload.op == "resize2d"]
    assert task.workload.inputs[0].block == TARGET.lanes("float32")
    indices, factors = Tensor((16,), "int32"), Tensor((16,))
    assert task.workload.inputs[1:] == (indices, factors, indices, factors)


def test_constants_of_epilogues_lie_in_blocks_like_the_map(optimized: Any, weights: Any) -> None:
    given = optimized(
        ("Conv", "x a b", "c"),
        ("Mul", "c k", "y"),
        inputs={"x": (1, 8, 6, 6)},
        outputs="y",
        a=weights(8, 8, 3, 3),
        b=weights(8),
        k=weights(1, 1, 4, 4),
    )
    (task,) = [task for task in extract_tasks(given) if task.workload.op == "conv2d"]
    bias, factor = task.workload.inputs[2:]
    assert (bias.shape, bias.block) == ((1, 8, 1, 1), TARGET.lanes("float32"))
    assert (factor.shape, factor.block) == ((1, 1, 4, 4), 1)
