"""Quantised models through all passes, and compared with onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx

from tvmopt.pipeline.graph.ir import Graph
from tvmopt.pipeline.graph.optimize import passes
from tvmopt.pipeline.graph.read_onnx import read_onnx
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.tasks.workloads import workload_of
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target

BYTES = replace(parse_target("x86-64-v4", 1), features=("avx512_vnni", "avx512vbmi"))
"""A target that multiplies and looks up bytes, whatever this machine does."""

Evaluate = Callable[[Graph, dict[str, np.ndarray]], list[np.ndarray]]


def passed(model: onnx.ModelProto, target: Target = BYTES) -> Graph:
    """The graph of a model after all passes; there is a template for each of its kernels."""
    graph = read_onnx(model)
    for run in passes(target):
        graph = run(graph)
    for node in graph.nodes:
        if node.operator.kernel:
            template_for(workload_of(graph, node), target)
    return graph


def check(graph: Graph, model: onnx.ModelProto, evaluate: Evaluate, steps: float) -> None:
    """Checks the graph against onnxruntime: at most one element in a hundred may be `steps` off."""
    random = np.random.default_rng(3)
    inputs = {name: random.standard_normal(graph.values[name].shape).astype(np.float32) for name in graph.inputs}
    for wanted, got in zip(run_model(model, inputs).values(), evaluate(graph, inputs), strict=True):
        off = np.abs(wanted - got)
        assert off.max() <= steps * 1.01 and (off > 1e-5).mean() <= 0.01  # noqa: PT018
