"""A model compiled as its artifact would be, which need not run on example inputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.artifact.native_library import NativeLibrary, reserve
from tvmopt.pipeline.artifact.virtual_machine import VirtualMachine
from tvmopt.pipeline.compiler.compile import build_library
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.pipeline.types import ImportedModel, ModelSource
from tvmopt.schedules.target import parse_target


class Compiled:
    """A small model on one thread of this machine, in the library of an artifact."""

    def __init__(self, model: onnx.ModelProto) -> None:
        inputs, outputs = (
            [tensor_spec(value) for value in values] for values in (model.graph.input, model.graph.output)
        )
        source = ModelSource("model.onnx", "onnx", Path("model.onnx"))
        target = parse_target("llvm", 1)
        bound = bind(optimize(ImportedModel("model", source, model, model, tuple(inputs), tuple(outputs), ""), target))
        with Forge() as forge:
            library = build_library(bound, {}, linker_of(target), forge)
        weights = None if library.weights is None else reserve(library.weights.nbytes)  # begins at a cache line
        if weights is not None:
            weights[:] = library.weights
        specs = tuple(
            [{"name": s.name, "shape": s.shape, "dtype": s.dtype} for s in side] for side in (inputs, outputs)
        )
        self.names = [spec.name for spec in inputs]
        self.executor: Any = (
            VirtualMachine(library.content, [step.kernel for step in library.steps])
            if weights is None
            else NativeLibrary(library.content, weights, (specs[0], specs[1]), 1)
        )

    def run(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        self.executor.set_inputs([inputs[name] for name in self.names])
        self.executor.run()
        return self.executor.outputs()
