"""The table of operators compared with the templates and the reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.schedules.samples import workloads
from tvmopt.schedules.compute.reference import REFERENCES, reference
from tvmopt.schedules.operators import OPERATORS, Layout, Operator, operator_of
from tvmopt.schedules.registry import llvm_templates, template_for
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Tensor, Workload

TARGET = replace(parse_target("x86-64-v3", 2), features=("avx_vnni",))
KERNELS = [operator for operator in OPERATORS.values() if operator.kernel]


@pytest.fixture
def samples(wide: Any, make: Any) -> dict[str, Workload]:
    """A workload of each operator, without epilogue."""
    found: dict[str, Workload] = {}
    for workload in workloads(wide, make).values():
        found.setdefault(workload.op, Workload(workload.op, workload.inputs, workload.output, workload.attrs))
    return found


def arrays_of(workload: Workload) -> list[np.ndarray]:
    return [np.ones(tensor.shape, tensor.dtype) for tensor in workload.inputs]


def test_names_are_keys() -> None:
    assert all(operator_of(name).name == name for name in OPERATORS)
    with pytest.raises(ValueError, match="unknown operator 'fourier'; expected one of conv2d, "):
        operator_of("fourier")


def test_each_operator_has_a_template_and_a_reference(samples: dict[str, Workload], wide: Any, make: Any) -> None:
    names = {operator.name for operator in KERNELS}
    assert set(samples) == set(REFERENCES) == names
    # Several templates may share an operator, each for other element types.
    taken = {template_for(workload, TARGET).name for workload in workloads(wide, make).values()}
    assert taken == {template.name for template in llvm_templates()}


@pytest.mark.parametrize("operator", KERNELS, ids=lambda operator: operator.name)
def test_own_operands_are_those_that_the_reference_reads(operator: Operator, samples: dict[str, Workload]) -> None:
    workload = samples[operator.name]
    arrays = arrays_of(workload)
    own = operator.own(len(arrays))
    if own == 0:
        assert REFERENCES[operator.name](workload, []) is None
        return
    assert reference(workload, arrays[:own]).shape == workload.output.shape
    if operator.operands is not None:
        with pytest.raises((IndexError, ValueError)):
            reference(workload, arrays[: own - 1])


@pytest.mark.parametrize("operator", KERNELS, ids=lambda operator: operator.name)
def test_weights_are_own_operands_behind_the_data(operator: Operator, samples: dict[str, Workload]) -> None:
    own = operator.own(len(samples[operator.name].inputs))
    assert all(0 < place < own for place in operator.weights)


@pytest.mark.parametrize("operator", KERNELS, ids=lambda operator: operator.name)
def test_convolutions_are_those_with_a_convolutions_attributes(
    operator: Operator, samples: dict[str, Workload]
) -> None:
    workload = samples[operator.name]
    attrs = {name for name, _ in workload.attrs} - {"zero"}
    assert operator.convolution == (attrs == {"dilations", "groups", "pads", "strides"})
    if operator.convolution:
        assert len(workload.inputs[1].shape) == 4


@pytest.mark.parametrize("operator", KERNELS, ids=lambda operator: operator.name)
def test_templates_take_the_layouts_that_the_table_promises(operator: Operator, samples: dict[str, Workload]) -> None:
    """A blocked result if the table says so, and a row-major first operand if the table allows it."""
    workload = samples[operator.name]
    if operator.layout is Layout.BLOCKED:
        assert workload.output.block == TARGET.lanes("float32")
    if operator.layout is Layout.PLAIN:
        assert all(tensor.plain for tensor in (*workload.inputs, workload.output))
    if operator.layout in (Layout.BLOCKED, Layout.FOLLOWS):
        first, *others = workload.inputs
        assert first.block == TARGET.lanes("float32")
        plain = Workload(workload.op, (Tensor(first.shape), *others), workload.output, workload.attrs)
        template = template_for(workload, TARGET)
        assert template.accepts(plain, TARGET) == operator.plain_data
