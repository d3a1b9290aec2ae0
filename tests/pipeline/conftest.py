"""Small ONNX models, written down node by node."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from pipeline import build
from pipeline.graph.optimize import optimize
from pipeline.importers import example_inputs, load_model
from pipeline.importers.sessions import run_model
from pipeline.importers.verify import TOLERANCE, relative_error
from pipeline.lower import lower
from pipeline.types import ImportedModel
from schedules.space import Config
from schedules.target import Target

OnnxNode = tuple[Any, ...]
OnnxModel = Callable[..., onnx.ModelProto]


def make_model(
    *nodes: OnnxNode,
    inputs: Mapping[str, Sequence[Any]],
    outputs: str,
    opset: int = 18,
    **constants: np.ndarray,
) -> onnx.ModelProto:
    """A model with the shape of every value.

    Args:
        nodes: operator, names of the inputs (``.`` is an absent one), names of the outputs, attributes; the last may be
            left out.
        inputs: their shapes by name; a dtype may stand first.
        outputs: their names.
        opset: version of the operators.
        constants: the initialisers.
    """
    protos = []
    for index, (operator, taken, made, *attributes) in enumerate(nodes):
        names = ["" if name == "." else name for name in taken.split()]
        results = ["" if name == "." else name for name in made.split()]
        protos.append(helper.make_node(operator, names, results, f"{operator}{index}", **(attributes or [{}])[0]))
    values = []
    for name, (*shape,) in inputs.items():
        dtype = shape.pop(0) if shape and isinstance(shape[0], str) else "float32"
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        values.append(helper.make_tensor_value_info(name, kind, shape))
    initializers = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs.split()]
    graph = helper.make_graph(protos, "model", values, results, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


@pytest.fixture
def onnx_model() -> OnnxModel:
    """`make_model`."""
    return make_model


@pytest.fixture
def weights() -> Callable[..., np.ndarray]:
    """Random float32 arrays of a shape, the same in every run."""
    random = np.random.default_rng(0)
    return lambda *shape: random.standard_normal(shape, dtype=np.float32)


@pytest.fixture
def imported(tmp_path: Path) -> Callable[[onnx.ModelProto], ImportedModel]:
    """Imports a model as from a file."""

    def load(model: onnx.ModelProto) -> ImportedModel:
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return load_model(str(path))

    return load


@pytest.fixture
def model_from(onnx_model: OnnxModel, imported: Callable[..., ImportedModel]) -> Callable[..., ImportedModel]:
    """A model from a description: nodes, inputs, constants, and where they are not usual outputs and opset."""

    def make(parts: Mapping[str, Any]) -> ImportedModel:
        options = {"outputs": parts.get("outputs", "y"), "opset": parts.get("opset", 18)}
        return imported(onnx_model(*parts["nodes"], inputs=parts["inputs"], **options, **parts["constants"]))

    return make


def run_whole(model: ImportedModel, target: Target, configs: Mapping[str, Config]) -> dict[str, np.ndarray]:
    """What the compiled model makes of the example inputs."""
    import tvm
    from tvm import relax

    module = lower(optimize(model, target), configs)
    module = build.plan_memory(build.schedule(module, target), target)
    machine = relax.VirtualMachine(build.generate(module, target), tvm.cpu())
    inputs = example_inputs(model)
    result = machine["main"](*(tvm.runtime.tensor(inputs[spec.name]) for spec in model.inputs))
    results = [result] if len(model.outputs) == 1 else list(result)
    return {spec.name: array.numpy() for spec, array in zip(model.outputs, results, strict=True)}


@pytest.fixture
def check_whole() -> Callable[..., None]:
    """Compiles a model for a target and compares it with onnxruntime."""
    os.environ.setdefault("TVM_NUM_THREADS", "2")

    def check(model: ImportedModel, target: Target, configs: Mapping[str, Config] | None = None) -> None:
        expected = run_model(model.original, example_inputs(model))
        for name, array in run_whole(model, target, configs or {}).items():
            error = relative_error(expected[name], array)
            assert error <= TOLERANCE.get(array.dtype.name, 0.0), f"{name} is off by {error:.2g}"

    return check
