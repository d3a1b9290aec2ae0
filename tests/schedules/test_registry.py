from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules import registry
from tvmopt.schedules.expression import Arg, call
from tvmopt.schedules.registry import (
    TEMPLATES,
    has_templates,
    kernel_for,
    llvm_templates,
    pack_inputs,
    packed_shapes,
    template_for,
)
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload


def test_templates_have_names_of_their_own() -> None:
    names = [template.name for template in llvm_templates()]
    assert len(set(names)) == len(names)
    assert all(template.version >= 1 for template in llvm_templates())


def test_workloads_without_a_template_are_named() -> None:
    unknown = Workload("fourier", (Tensor((4,)),), Tensor((4,)))
    with pytest.raises(LookupError, match="no template for fourier .* on x86_64-avx2-1t"):
        template_for(unknown, parse_target("x86-64-v3", 1))


def test_gpus_have_no_templates(make: Any) -> None:
    workload = make("pointwise", (Tensor((4,)),), Tensor((4,)), call("relu", Arg(0)))
    with pytest.raises(LookupError):
        template_for(workload, parse_target("cuda"))
    assert not has_templates(parse_target("cuda"))
    assert has_templates(parse_target("aarch64"))
    assert {parse_target(name).kind for name in ("llvm", "armv7", "cuda:sm_90")} == set(TEMPLATES)


def test_templates_stand_by_kind_of_target(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding a GPU template needs no change to CPU templates."""
    workload = make("pointwise", (Tensor((4,)),), Tensor((4,)), call("relu", Arg(0)))
    ours = SimpleNamespace(name="pointwise on a GPU", accepts=lambda workload, target: workload.op == "pointwise")
    monkeypatch.setattr(registry, "TEMPLATES", {**TEMPLATES, "cuda": lambda: (ours,)})
    assert has_templates(parse_target("cuda"))
    assert template_for(workload, parse_target("cuda")) is ours
    assert template_for(workload, parse_target("x86-64-v3")).name == "pointwise"


def test_inputs_are_packed_or_stored(wide: Any) -> None:
    target = parse_target("x86-64-v3", 1)
    workload = wide(
        target.lanes("float32"), (1, 9, 4, 4), 10, (3, 3), pads=(1, 1, 1, 1), extra=(Tensor((1, 10, 1, 1), block=8),)
    )
    template = template_for(workload, target)
    config = template.default(workload, target)
    arrays = {i: np.ones(tensor.shape, np.float32) for i, tensor in enumerate(workload.inputs)}
    memory = pack_inputs(template, workload, target, config, arrays)
    assert list(packed_shapes(template, workload, target, config)) == [1]
    assert memory[1].shape == packed_shapes(template, workload, target, config)[1] == (16 * 9 * 9,)
    assert memory[0].shape == workload.inputs[0].physical_shape
    assert memory[2].shape == (1, 2, 1, 1, 8)
    assert [array.sum() for array in memory.values()] == [array.sum() for array in arrays.values()]


def test_templates_without_packing_store_everything(make: Any) -> None:
    target = parse_target("x86-64-v3", 1)
    workload = make("pointwise", (Tensor((4,)),), Tensor((4,)), call("relu", Arg(0)))
    template = template_for(workload, target)
    assert packed_shapes(template, workload, target, {"unroll": 1}) == {}
    assert list(pack_inputs(template, workload, target, {"unroll": 1}, {0: np.ones(4, np.float32)})) == [0]


def test_a_bound_kernel_asks_its_template(wide: Any) -> None:
    target = parse_target("x86-64-v3", 1)
    workload = wide(target.lanes("float32"), (1, 9, 4, 4), 10, (3, 3), pads=(1, 1, 1, 1))
    kernel, template = kernel_for(workload, target), template_for(workload, target)
    assert (kernel.key, kernel.flops) == (workload.key, template.flops(workload))
    assert kernel.default == template.default(workload, target)
    assert kernel.has_knobs
    assert kernel.space.contains(kernel.default)
    name, knobs = kernel.algorithm(kernel.default)
    assert name in {"direct", "winograd"}
    assert knobs.items() <= kernel.default.items()
    arrays = {1: np.ones(workload.inputs[1].shape, np.float32)}
    assert kernel.pack(kernel.default, arrays)[1].shape == kernel.packed_shapes(kernel.default)[1]


def test_a_bound_kernel_without_a_choice(make: Any) -> None:
    plain = Tensor((1, 8, 4, 4))
    workload = make("relayout", (plain,), Tensor((1, 8, 4, 4), block=8))
    assert not kernel_for(workload, parse_target("x86-64-v3", 1)).has_knobs
