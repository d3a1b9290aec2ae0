"""The layers that each kernel call represents, its result, and its cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import broken, tiny
from tvmopt.pipeline.compiler import build
from tvmopt.pipeline.compiler.lower import lower
from tvmopt.pipeline.compiler.traced.kernel_calls import KernelCall, calls_of, check_calls
from tvmopt.pipeline.compiler.traced.kernel_layers import steps_of
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.ir import Graph, Node
from tvmopt.pipeline.graph.optimize import OptimizedModel, optimize
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.tasks.bind import BoundModel, bind
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.types import ImportedModel, Step
from tvmopt.schedules.expression import Arg, call
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor

TARGET = parse_target("x86-64-v3", 2)
MERGED = """merged (float[1,8,6,6] x) => (float[1,16,6,6] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    b = Trilu (a)
    c = Trilu <upper = 0> (b)
    y = Conv (c, w2)
}"""
SPLIT = """split (int8[1,8,14,14] x) => (int8[1,4,14,14] y, int8[1,4,14,14] z) {
    y, z = Split <axis = 1, num_outputs = 2> (x)
}"""


CROSSED = """crossed (float[1,8,6,6] x) => (float[1,16,6,6] y, float[1,16,6,6] z) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    b = Trilu (a)
    z = Conv (a, w2)
    c = Trilu <upper = 0> (b)
    y = Conv (c, w2)
}"""
"""Two layers that TVM merges, with one between them that it does not."""
ALIKE = """alike (float[1,8,6,6] x) => (float[1,8,5,5] y, float[1,8,5,5] z) {
    a = Relu (x)
    y = AveragePool <kernel_shape = [2, 2], count_include_pad = 0> (a)
    z = AveragePool <kernel_shape = [2, 2], count_include_pad = 1> (a)
}"""
"""Two workloads for which one kernel is generated."""


Compiled = tuple[BoundModel, tuple[KernelCall, ...]]


def compiled(model: ImportedModel) -> Compiled:
    """The bound graph of a model, and its compiled kernel calls in order."""
    return scheduled(bind(optimize(model, TARGET)))


def scheduled(bound: BoundModel) -> Compiled:
    """`bound`, and its compiled kernel calls; memory planning leaves them unchanged."""
    module = build.schedule(lower(bound, {}), TARGET)
    calls = calls_of(module)
    check_calls(calls, build.called_kernels(build.plan_calls(module, TARGET)))
    check_calls(calls, build.called_kernels(build.plan_memory(module, TARGET)))
    return bound, calls


def own_steps(steps: tuple[Step, ...]) -> list[Step]:
    return [step for step in steps if step.operator == "conv2d"]


@pytest.fixture(scope="module")
def two() -> Compiled:
    return compiled(tiny.load())


def test_kernels_of_templates(two: Compiled) -> None:
    first, second = own_steps(steps_of(*two))
    assert (first.layers, second.layers) == (("Conv_a", "Relu_b"), ("Conv_y",))
    ((name, tensor),) = first.outputs
    assert name == "b"
    assert tensor == two[0].graph.values["b"]
    assert (tensor.shape, tensor.block) == ((1, 16, 14, 14), TARGET.lanes("float32"))


def test_kernel_cost(two: Compiled) -> None:
    first, second = own_steps(steps_of(*two))
    pixels = 14 * 14
    assert first.flops == 2 * 16 * pixels * 8 * 9
    assert second.flops == 2 * 16 * pixels * 16
    # Input, weights and output, in floats of four bytes.
    assert first.nbytes == 4 * (8 * pixels + 16 * 8 * 9 + 16 * pixels)
    assert second.nbytes == 4 * (16 * pixels + 16 * 16 + 16 * pixels)


def test_kernels_belong_to_tasks(two: Compiled) -> None:
    names = {task.name for task in extract_tasks(two[0])}
    steps = steps_of(*two)
    assert {step.task for step in steps} == names
    assert all(step.kernel == step.task.replace("-", "_") for step in steps)


def test_each_layer_belongs_to_one_kernel(tmp_path: Path) -> None:
    optimized, kernels = compiled(load_model(str(broken.save_residual(tmp_path))))
    steps = steps_of(optimized, kernels)
    covered = {layer for step in steps for layer in step.layers}
    assert {layer for node in optimized.graph.nodes if node.op != "reshape" for layer in node.layers} == covered
    (rounding,) = (step for step in steps if step.layers == ("net.round/Round",))
    assert [name for name, _ in rounding.outputs] == ["round"]
    assert rounding.nbytes == 2 * 4 * 48 * 12 * 12


def test_layers_that_tvm_merges_share_a_kernel() -> None:
    (merged,) = (step for step in steps_of(*compiled(tiny.load(MERGED))) if not step.task)
    assert merged.operator == "Trilu+Trilu"
    assert merged.layers == ("Trilu_b", "Trilu_c")
    assert merged.outputs == ()


def test_a_layer_that_is_several_kernels() -> None:
    steps = steps_of(*compiled(tiny.load(SPLIT)))
    assert steps
    assert {step.layers for step in steps} == {("Split_y",)}
    # With several kernels, it is unknown which of the two each one makes; a single kernel makes both.
    names = [tuple(name for name, _ in step.outputs) for step in steps]
    assert names == ([("y", "z")] if len(steps) == 1 else [()] * len(steps))


def test_merged_layers_with_another_between_them() -> None:
    bound, calls = compiled(tiny.load(CROSSED))
    steps = steps_of(bound, calls)
    (merged,) = (step for step in steps if not step.task)
    assert (merged.operator, merged.layers, merged.outputs) == ("Trilu+Trilu", ("Trilu_b", "Trilu_c"), ())
    # TVM runs it before the convolution that is between the two in the graph.
    order = [step.layers for step in steps if step.operator != "relayout"]
    assert order.index(merged.layers) < order.index(("Conv_z",))
    names = [name for step in steps if step.operator == "conv2d" for name, _ in step.outputs]
    assert names == [one.node.output for one in bound.nodes if one.node.op == "conv2d"]


def test_equal_kernels_of_unlike_workloads() -> None:
    bound, calls = compiled(tiny.load(ALIKE))
    first, second = (step for step in steps_of(bound, calls) if step.operator == "pool2d")
    assert first.kernel == second.kernel
    assert first.task != second.task
    assert [name for step in (first, second) for name, _ in step.outputs] == ["y", "z"]


def test_a_kernel_that_tvm_computes_itself() -> None:
    """Nodes that read only constants have no call; all nodes that read the model's inputs have one."""
    four = Tensor((4,))
    nodes = (
        Node("pointwise", ("c",), ("d",), ("Neg_d",), epilogue=call("neg", Arg(0))),
        Node("pointwise", ("x", "d"), ("y",), ("Add_y",), epilogue=call("add", Arg(0), Arg(1))),
    )
    graph = Graph(nodes, dict.fromkeys("xdy", four), {"c": np.ones(4, np.float32)}, ("x",), ("y",), 18)
    (step,) = steps_of(*scheduled(bind(OptimizedModel(tiny.load(), TARGET, graph))))
    assert (step.layers, step.outputs) == (("Add_y",), (("y", four),))


def test_calls_that_do_not_match_the_graph(two: Compiled) -> None:
    bound, calls = two
    with pytest.raises(BuildError, match="layer 'Conv_y' has no kernel in the compiled module"):
        steps_of(bound, calls[:-1])
    with pytest.raises(BuildError, match=f"the compiled module runs {calls[-1].kernel} more often than the graph asks"):
        steps_of(bound, [*calls, calls[-1]])
    merged = next(call for call in compiled(tiny.load(MERGED))[1] if call.node is None)
    with pytest.raises(BuildError, match=f"the compiled module runs {merged.kernel}, which no layer asks for"):
        steps_of(bound, [*calls, merged])


def test_kernels_that_change_when_memory_is_planned(two: Compiled) -> None:
    _, calls = two
    kernels = [call.kernel for call in calls]
    check_calls(calls, kernels)
    for run in (kernels[::-1], kernels[:-1], [*kernels, kernels[-1]]):
        with pytest.raises(BuildError, match="planning the memory changed which kernels run"):
            check_calls(calls, run)


def test_steps_follow_the_module_and_not_the_graph(two: Compiled) -> None:
    bound, calls = two
    assert steps_of(bound, calls[::-1]) == steps_of(bound, calls)[::-1]


def test_json(two: Compiled) -> None:
    for step in steps_of(*two):
        assert Step.from_json(step.to_json()) == step
