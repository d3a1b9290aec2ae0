"""Tiny networks, artifacts compiled from them, and records of their kernels."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

from tvmopt.pipeline.records.record import Record, target_facts
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.support.tvm import tvm_version
from tvmopt.pipeline.types import ImportedModel, Task
from tvmopt.schedules.host import host_cpu
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target, parse_target

TWO_CONVOLUTIONS = """two (float[1,8,14,14] x) => (float[1,16,14,14] y) {
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    b = Relu (a)
    y = Conv (b, w2)
}"""
TWO_OUTPUTS = """both (float[1,8,14,14] x, float[1,8,14,14] z) => (float[1,8,14,14] sum, float[1,16,14,14] maps) {
    sum = Add (x, z)
    maps = Conv <pads = [1, 1, 1, 1]> (sum, w1)
}"""


def save_onnx(path: Path, graph: str) -> Path:
    """Writes a model in ONNX's textual form; it may use the weights ``w1`` (16×8×3×3) and ``w2`` (16×16×1×1)."""
    random = np.random.default_rng(0)
    weights = {
        "w1": random.standard_normal((16, 8, 3, 3), np.float32),
        "w2": random.standard_normal((16, 16, 1, 1), np.float32),
    }
    model = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> {graph}')
    used = {name for node in model.graph.node for name in node.input}
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in weights.items() if name in used
    )
    onnx.save(model, path)
    return path


def save_two_convolutions(folder: Path) -> Path:
    """Writes ``two.onnx``: a 3×3 and a 1×1 convolution with a ReLU between."""
    return save_onnx(folder / "two.onnx", TWO_CONVOLUTIONS)


def load(graph: str = TWO_CONVOLUTIONS) -> ImportedModel:
    """The model of `graph`, imported."""
    from tvmopt.pipeline.importers import load_model

    with tempfile.TemporaryDirectory() as folder:
        return load_model(str(save_onnx(Path(folder) / "two.onnx", graph)))


@functools.cache
def artifact(target: str = "llvm", threads: int = 2, graph: str = TWO_CONVOLUTIONS) -> bytes:
    """The bytes of the artifact of `graph`, with default schedules; compiled once per process."""
    from tvmopt.pipeline.compiler.compile import compile_model

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "model.tar"
        compile_model(load(graph), parse_target(target, threads), None, out)
        return out.read_bytes()


def tasks(target: Target) -> tuple[Task, ...]:
    """The tasks of the two convolutions."""
    from tvmopt.pipeline.graph.optimize import optimize
    from tvmopt.pipeline.tasks.extract import extract_tasks

    found = extract_tasks(optimize(load(), target))
    return tuple(task for task in found if task.workload.op == "conv2d")


def other_configs(task: Task, target: Target) -> Iterator[Config]:
    """The configs of the task's space that are not its default."""
    template = template_for(task.workload, target)
    default = dict(template.default(task.workload, target))
    return (config for config in template.space(task.workload, target) if dict(config) != default)


def another_config(task: Task, target: Target) -> Config:
    """The first config that is not the default."""
    return next(other_configs(task, target))


def record(
    task: Task,
    target: Target,
    config: Config,
    latency_s: float = 1e-6,
    change: Callable[[Record], Record] | None = None,
) -> Record:
    """A successful record of `task`."""
    template = template_for(task.workload, target)
    made = Record(
        workload=task.workload,
        target_key=target.key,
        target=target_facts(target),
        template=template.name,
        template_version=template.version,
        config=dict(config),
        status="ok",
        latency_s=(latency_s,),
        error="",
        time="2026-01-01T00:00:00+00:00",
        tvm_version=tvm_version(),
        cpu=host_cpu(),
    )
    return made if change is None else change(made)


def store_records(logs: Path, target: Target) -> dict[str, Config]:
    """Files records of a config for each convolution that is ten times as fast as the default; returns it by task."""
    store = RecordStore(logs, "two")
    configs = {task.name: another_config(task, target) for task in tasks(target)}
    for task in tasks(target):
        default = template_for(task.workload, target).default(task.workload, target)
        store.append(record(task, target, default, latency_s=1e-5))
        store.append(record(task, target, configs[task.name], latency_s=1e-6))
    return configs


def store_related(logs: Path, target: Target) -> dict[str, Config]:
    """Files records of both convolutions for thread counts other than `target`'s, in which a config beats the default.

    Returns that config by task.
    """
    store = RecordStore(logs, "related")
    faster = {task.name: another_config(task, target) for task in tasks(target)}
    for more in (1, 2, 3):
        other = replace(target, threads=target.threads + more)
        for task in tasks(target):
            template = template_for(task.workload, other)
            # None of them is similar to the faster one.
            slow = [*template.space(task.workload, other)][200::250]
            for config in (template.default(task.workload, other), *slow):
                store.append(record(task, other, config, 4e-6))
            store.append(record(task, other, faster[task.name], 1e-6))
    return faster
