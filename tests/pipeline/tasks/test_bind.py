"""Each node with its workload and its kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tvmopt.pipeline.compiler.lower import lower
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.optimize import OptimizedModel, optimize
from tvmopt.pipeline.tasks import bind as binding
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.registry import TEMPLATES, llvm_templates, template_for
from tvmopt.schedules.target import parse_target

TARGET = parse_target("x86-64-v3", 2)


@pytest.fixture
def optimized(onnx_model: Any, imported: Callable[..., Any], weights: Any) -> OptimizedModel:
    """A convolution, a layer that no template takes, a view and a matrix product."""
    model = onnx_model(
        *[("Conv", "x a", "c"), ("Hardmax", "c", "r"), ("Flatten", "r", "f"), ("MatMul", "f k", "y")],
        inputs={"x": (1, 8, 6, 6)},
        outputs="y",
        a=weights(8, 8, 3, 3),
        k=weights(128, 5),
    )
    return optimize(imported(model), TARGET)


def test_what_computes_each_node(optimized: OptimizedModel) -> None:
    bound = bind(optimized)
    assert [one.node for one in bound.nodes] == list(optimized.graph.nodes)
    kinds = {one.node.kind: (one.is_view, one.is_imported, one.kernel is not None) for one in bound.nodes}
    assert kinds == {
        "relayout": (False, False, True),
        "conv2d": (False, False, True),
        "Hardmax": (False, True, False),
        "reshape": (True, False, False),
        "dense": (False, False, True),
    }
    for one in bound.nodes:
        if one.kernel is not None:
            workload = workload_of(optimized.graph, one.node)
            assert one.workload == one.kernel.workload == workload
            assert one.kernel.template.name == template_for(workload, TARGET).name
            assert bound.kernel_of(one.node.output) is one.kernel
            assert one.kernel.symbol.isidentifier()
    assert bound.kernel_of("r") is bound.kernel_of("nobody's") is None


def test_binding_happens_once(optimized: OptimizedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = bind(optimized)

    def again(*_: object) -> None:
        raise AssertionError("bound again")

    monkeypatch.setattr(binding, "workload_of", again)
    assert bind(bound) is bound
    assert [task.workload for task in extract_tasks(bound)] == [workload for _, workload in bound.workloads()]
    lower(bound, {})


def test_a_workload_that_no_template_takes(optimized: OptimizedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    others = tuple(template for template in llvm_templates() if template.name != "conv2d")
    monkeypatch.setitem(TEMPLATES, "llvm", lambda: others)
    bound = bind(optimized)
    (unknown,) = (one for one in bound.nodes if one.workload is not None and one.kernel is None)
    assert unknown.node.op == "conv2d"
    with pytest.raises(BuildError, match="layer 'Conv0': no template takes conv2d for x86_64-avx2-2t"):
        lower(bound, {})


def test_a_gpus_nodes_have_no_kernel(optimized: OptimizedModel) -> None:
    bound = bind(optimize(optimized.model, parse_target("cuda")))
    assert all(one.is_imported and one.workload is None for one in bound.nodes)
