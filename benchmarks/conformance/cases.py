"""ONNX's tests, each in up to two forms: its operands as inputs, and all but the first as constants."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]
Form = Literal["plain", "constant"]

KINDS = ("node", "simple", "pytorch-converted", "pytorch-operator")
"""ONNX's groups of tests; its group of whole networks is left out, since they are compared elsewhere."""

_EXPANDED = re.compile(r"_expanded(_ver\d+)?$")
"""The end of the names of tests that have an operator written out in others."""


@dataclass(frozen=True, slots=True)
class Case:
    """A test in one form.

    Attributes:
        test: its name in ONNX.
        operator: the operator that it tests; several are joined with ``+``.
        form: ``plain`` or ``constant``.
        folder: the folder of its model and data.
    """

    test: str
    operator: str
    form: Form
    folder: Path

    @property
    def key(self) -> str:
        """Its name in results."""
        return f"{self.test}:{self.form}"


@dataclass(frozen=True, slots=True)
class DataSet:
    """Inputs and expected outputs by name."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


def all_cases(operators: Sequence[str] = ()) -> list[Case]:
    """Every test that has only tensors of numbers as inputs and outputs, in its forms, by name.

    Args:
        operators: only tests of these operators, or of this name; all tests when empty.
    """
    from onnx.backend.test.loader import load_model_tests

    found = (test for kind in KINDS for test in load_model_tests(kind=kind))
    tests = {test.name: Path(test.model_dir) for test in found if test.model_dir is not None}
    wanted = set(operators)
    cases: list[Case] = []
    for name in sorted(tests):
        operator = _operator(name, tests)
        if wanted and not wanted & {name, operator, *operator.split("+")}:
            continue
        model = _model(tests[name])
        if not all(map(_is_numeric, (*model.graph.input, *model.graph.output))) or not _has_data(tests[name], model):
            continue
        cases.append(Case(name, operator, "plain", tests[name]))
        if len(model.graph.input) > 1:
            cases.append(Case(name, operator, "constant", tests[name]))
    return cases


def _operator(name: str, tests: Mapping[str, Path]) -> str:
    """What the test `name` is about; a test with an operator written out is about that operator."""
    folder = tests.get(_EXPANDED.sub("", name), tests[name])
    kinds = dict.fromkeys(node.op_type for node in _model(folder).graph.node)
    named = [kind for kind in kinds if kind != "Constant"]
    return "+".join(named or kinds)


@functools.cache
def _model(folder: Path) -> onnx.ModelProto:
    return onnx.load(folder / "model.onnx")


def _is_numeric(value: onnx.ValueInfoProto) -> bool:
    kind = value.type.tensor_type.elem_type
    return value.type.HasField("tensor_type") and kind != onnx.TensorProto.STRING


def _has_data(folder: Path, model: onnx.ModelProto) -> bool:
    """Whether there is a file for each input; one test of ONNX lacks some."""
    return all((folder / "test_data_set_0" / f"input_{place}.pb").exists() for place in range(len(model.graph.input)))


def read_case(case: Case) -> tuple[onnx.ModelProto, Iterator[DataSet]]:
    """The model of `case` in its form, with inputs of the shapes of its data, and the data.

    Raises:
        TypeError: numpy lacks the type of some tensor.
    """
    model = onnx.ModelProto()
    model.CopyFrom(_model(case.folder))
    names = [value.name for value in model.graph.input], [value.name for value in model.graph.output]
    sets = [_data(folder, *names) for folder in sorted(case.folder.glob("test_data_set_*"))]
    for value in model.graph.input:
        dtype, shape = value.type.tensor_type.elem_type, sets[0].inputs[value.name].shape
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, dtype, shape))
    if case.form == "plain":
        return model, iter(sets)
    # Each set of data has constants of its own; the tests that have several differ in little else.
    first = sets[0]
    for name in names[0][1:]:
        model.graph.initializer.append(numpy_helper.from_array(first.inputs[name], name))
    del model.graph.input[1:]
    model.ir_version = max(model.ir_version, 4)  # before 4, an initialiser had to be an input
    return model, iter([DataSet({names[0][0]: first.inputs[names[0][0]]}, first.outputs)])


def _data(folder: Path, inputs: Sequence[str], outputs: Sequence[str]) -> DataSet:
    def read(stem: str, names: Sequence[str]) -> dict[str, Array]:
        arrays = [_tensor(folder / f"{stem}_{place}.pb") for place in range(len(names))]
        return dict(zip(names, arrays, strict=True))

    return DataSet(read("input", inputs), read("output", outputs))


def _tensor(path: Path) -> Array:
    tensor = onnx.TensorProto.FromString(path.read_bytes())
    array = numpy_helper.to_array(tensor)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"numpy has no {onnx.TensorProto.DataType.Name(tensor.data_type).lower()}")
    return np.asarray(array)
