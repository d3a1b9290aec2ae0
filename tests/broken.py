"""Models compiled with one deliberately wrong kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from tvmopt.pipeline.compiler import assemble
from tvmopt.pipeline.compiler import compile as compiling
from tvmopt.pipeline.compiler.kernels.job import Job, kernel_job
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.expression import ACC
from tvmopt.schedules.registry import BoundKernel
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target

Fault = Literal["no epilogue", "a tap skipped"]

RESIDUAL = """residual (float[1,8,12,12] x) => (float[1,20] y) {
    conv_a = Conv <pads = [1, 1, 1, 1]> (x, w_a, bias)
    norm_a = BatchNormalization (conv_a, scale, shift, mean, variance)
    relu_a = Relu (norm_a)
    conv_b = Conv <pads = [1, 1, 1, 1]> (relu_a, w_b)
    norm_b = BatchNormalization (conv_b, scale, shift, mean, variance)
    add_b = Add (norm_b, relu_a)
    relu_b = Relu (add_b)
    conv_c = Conv (relu_b, w_c)
    conv_d = Conv <pads = [1, 1, 1, 1]> (relu_b, w_d)
    both = Concat <axis = 1> (conv_c, conv_d)
    round = Round (both)
    mean_map = GlobalAveragePool (round)
    flat = Flatten (mean_map)
    y = Gemm (flat, w_y)
}"""
"""Two convolutions with normalisation, the second with a residual addition; a fork, concatenated; rounding;
a classifier."""

SHAPES = {"w_a": (16, 8, 3, 3), "w_b": (16, 16, 3, 3), "w_c": (16, 16, 1, 1), "w_d": (32, 16, 3, 3), "w_y": (48, 20)}


def save_residual(folder: Path) -> Path:
    """Writes `RESIDUAL` with seeded weights as ``residual.onnx``; nodes are named after their outputs."""
    random = np.random.default_rng(0)
    weights = {name: random.standard_normal(shape, np.float32) for name, shape in SHAPES.items()}
    weights |= {name: random.uniform(0.5, 1.5, 16).astype(np.float32) for name in ("scale", "variance")}
    weights |= {name: random.standard_normal(16, np.float32) for name in ("bias", "shift", "mean")}
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> {RESIDUAL}')
    for node in model.graph.node:
        node.name = f"net.{node.output[0]}/{node.op_type}"
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    path = folder / "residual.onnx"
    onnx.save(model, path)
    return path


def compile_broken(model: ImportedModel, target: Target, layer: str, fault: Fault, out: Path) -> None:
    """Compiles `model` with the kernel of `layer` wrong.

    Args:
        model: the model to compile.
        target: the target to compile for.
        layer: a layer whose kernel covers no other layer.
        fault: what the kernel leaves out: its epilogue, or the first weight of each window.
        out: the artifact to write.
    """
    (task,) = (task for task in extract_tasks(optimize(model, target)) if layer in task.layers)
    assert task.weight == 1
    wrong = task.workload
    with pytest.MonkeyPatch.context() as patch:
        if fault == "no epilogue":
            assert wrong.epilogue != ACC

            def without_epilogue(kernel: BoundKernel, config: Config, layer: str) -> Job:
                if kernel.workload == wrong:
                    kernel = replace(kernel, workload=replace(wrong, epilogue=ACC))
                return kernel_job(kernel, config, layer)

            patch.setattr(assemble, "kernel_job", without_epilogue)
        else:
            pack = BoundKernel.pack

            def without_a_tap(self: BoundKernel, config: Config, arrays: Mapping[int, Any]) -> dict[int, Any]:
                if self.workload == wrong and 1 in arrays:  # constants are packed one by one
                    arrays = {**arrays, 1: arrays[1].copy()}
                    arrays[1][:, :, 0, 0] = 0.0
                return pack(self, config, arrays)

            patch.setattr(BoundKernel, "pack", without_a_tap)
        patch.setattr(compiling, "check_golden", lambda *_: None)  # it would refuse the artifact
        compiling.compile_model(model, target, None, out)
