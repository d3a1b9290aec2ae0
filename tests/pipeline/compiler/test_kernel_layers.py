"""Which layers each kernel call stands for, what it makes, and what it costs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import broken, tiny
from tvmopt.pipeline.compiler import build
from tvmopt.pipeline.compiler.kernel_layers import steps_of
from tvmopt.pipeline.compiler.lower import lower
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.optimize import OptimizedModel, optimize
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.types import ImportedModel, Step
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 2)
MERGED = """merged (float[1,8,6,6] x) => (float[1,16,6,6] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    b = Round (a)
    c = Sign (b)
    y = Conv (c, w2)
}"""
SPLIT = """split (float[1,8,14,14] x) => (float[1,4,14,14] y, float[1,4,14,14] z) {
    y, z = Split <axis = 1, num_outputs = 2> (x)
}"""


Compiled = tuple[OptimizedModel, list[str]]


def compiled(model: ImportedModel) -> Compiled:
    """The optimised graph of a model, and the names of the kernels that it is compiled into, in order."""
    optimized = optimize(model, TARGET)
    module = build.plan_calls(build.schedule(lower(optimized, {}), TARGET), TARGET)
    return optimized, build.called_kernels(module)


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
    (rounding,) = (step for step in steps if step.operator == "Round")
    assert (rounding.layers, rounding.task, rounding.flops) == (("net.round/Round",), "", 0)
    assert [name for name, _ in rounding.outputs] == ["round"]
    assert rounding.nbytes == 2 * 4 * 48 * 12 * 12


def test_layers_that_tvm_merges_share_a_kernel() -> None:
    (merged,) = (step for step in steps_of(*compiled(tiny.load(MERGED))) if not step.task)
    assert merged.operator == "Round+Sign"
    assert merged.layers == ("Round_b", "Sign_c")
    assert merged.outputs == ()


def test_a_layer_that_is_several_kernels() -> None:
    steps = steps_of(*compiled(tiny.load(SPLIT)))
    assert steps
    assert {step.layers for step in steps} == {("Split_y",)}
    # Which of the two each of several kernels makes is not known; one kernel makes both.
    names = [tuple(name for name, _ in step.outputs) for step in steps]
    assert names == ([("y", "z")] if len(steps) == 1 else [()] * len(steps))


def test_kernels_that_the_graph_does_not_ask_for(two: Compiled) -> None:
    optimized, kernels = two
    with pytest.raises(BuildError, match=f"the compiled module runs {kernels[-1]} where the graph has"):
        steps_of(optimized, kernels[::-1])
    with pytest.raises(BuildError, match=f"the compiled module runs {kernels[-1]} where the graph has nothing"):
        steps_of(optimized, [*kernels, kernels[-1]])
    with pytest.raises(BuildError, match="layer 'Conv_y' has no kernel in the compiled module"):
        steps_of(optimized, kernels[:-1])


def test_json(two: Compiled) -> None:
    for step in steps_of(*two):
        assert Step.from_json(step.to_json()) == step
