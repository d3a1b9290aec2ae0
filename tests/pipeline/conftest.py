"""Models from textual descriptions: imported, compiled and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from tests.onnx_models import OnnxModel
from tvmopt.pipeline.compiler import build
from tvmopt.pipeline.compiler.lower import lower
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import EXAMPLES, only_steps
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.pipeline.types import ImportedModel
from tvmopt.pipeline.verification.quantized import values_behind
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target


@pytest.fixture
def parse() -> Callable[..., onnx.ModelProto]:
    """A model from ONNX's textual form: the graph, then arrays that become initialisers."""

    def build(graph: str, opset: int = 18, ir_version: int = 10, **arrays: np.ndarray) -> onnx.ModelProto:
        model = parser.parse_model(f'<ir_version: {ir_version}, opset_import: ["" : {opset}, "my.ops" : 1]> {graph}')
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in arrays.items())
        return model

    return build


@pytest.fixture
def imported(tmp_path: Path) -> Callable[[onnx.ModelProto], ImportedModel]:
    """Imports a model as if from a file."""

    def load(model: onnx.ModelProto) -> ImportedModel:
        path = tmp_path / "model.onnx"
        onnx.save(model, path)
        return load_model(str(path))

    return load


@pytest.fixture
def model_from(onnx_model: OnnxModel, imported: Callable[..., ImportedModel]) -> Callable[..., ImportedModel]:
    """A model from a description: nodes, inputs, constants, and outputs and opset unless they are the defaults."""

    def make(parts: Mapping[str, Any]) -> ImportedModel:
        options = {"outputs": parts.get("outputs", "y"), "opset": parts.get("opset", 18)}
        return imported(onnx_model(*parts["nodes"], inputs=parts["inputs"], **options, **parts["constants"]))

    return make


def run_whole(model: ImportedModel, target: Target, configs: Mapping[str, Config]) -> dict[str, np.ndarray]:
    """The compiled model's outputs for the example inputs."""
    import tvm
    from tvm import relax

    module = lower(bind(optimize(model, target)), configs)
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
        rounds = bool(values_behind(model.original.graph))
        for name, array in run_whole(model, target, configs or {}).items():
            error, allowed = numeric_error(expected[name], array).relative, EXAMPLES.of(array.dtype)
            steps = rounds and only_steps(expected[name], array, allowed)
            assert error <= allowed or steps, f"{name} is off by {error:.2g}"

    return check
