"""A synthetic machine: a template with a rugged landscape, and a measurer that computes latencies."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvmopt.pipeline.records.record import Record, target_facts
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.tuning.measurer import Trial
from tvmopt.pipeline.types import Task
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

TARGET = parse_target("x86-64-v3", threads=2)
CPU = "a processor"


class SyntheticTemplate:
    """Tiles of rows × columns × vectors in 16 registers, as in a convolution."""

    name = "synthetic"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        return workload.op == "conv2d"

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        knobs = (
            Knob("rows", (1, 2, 3, 4)),
            Knob("columns", (1, 2, 3, 4, 6, 7, 8, 14)),
            Knob("vectors", (1, 2, 3, 4)),
            Knob("unroll", (1, 2, 4, 8)),
            Knob("rows_outer", (0, 1)),
        )
        return ConfigSpace(knobs, lambda c: c["rows"] * c["columns"] * c["vectors"] <= 20)

    def default(self, workload: Workload, target: Target) -> Config:
        return {"rows": 1, "columns": 2, "vectors": 1, "unroll": 1, "rows_outer": 0}

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        accumulators = config["rows"] * config["columns"] * config["vectors"]
        return (float(accumulators), math.log2(weight_bytes(workload, config)), float(accumulators * config["unroll"]))

    def flops(self, workload: Workload) -> int:
        return 2 * workload.output.elements * workload.inputs[1].shape[1] * 9

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        raise NotImplementedError("nothing is built here")


class TinyTemplate(SyntheticTemplate):
    """Twelve configs."""

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        knobs = (Knob("rows", (1, 2)), Knob("columns", (2, 4, 7)), Knob("vectors", (1, 2)))
        fixed = (Knob("unroll", (1,)), Knob("rows_outer", (0,)))
        return ConfigSpace(knobs + fixed)


def template_of(workload: Workload, target: Target) -> SyntheticTemplate:
    return SyntheticTemplate()


def tiny_template_of(workload: Workload, target: Target) -> TinyTemplate:
    return TinyTemplate()


def convolution(channels: int = 64, side: int = 28) -> Workload:
    data, weight = Tensor((1, channels, side, side), block=8), Tensor((channels, channels, 3, 3))
    return Workload("conv2d", (data, weight), Tensor((1, channels, side, side), block=8), (("strides", (1, 1)),))


def task(channels: int = 64, side: int = 28, weight: int = 1) -> Task:
    workload = convolution(channels, side)
    return Task(workload.key, workload, weight, (f"conv_{channels}_{side}",))


def weight_bytes(workload: Workload, config: Config) -> int:
    return 4 * 9 * workload.inputs[1].shape[1] * 8 * config["vectors"]


def latency_s(workload: Workload, config: Config) -> float:
    """As rugged as real ones: cliffs where registers spill, steps at tails, 3 % of repeatable noise."""
    side = workload.output.shape[2]
    pixels, vectors = config["rows"] * config["columns"], config["vectors"]
    accumulators = pixels * vectors
    efficiency = min(1.0, accumulators / 10) * min(1.0, 2 * accumulators / (pixels + vectors) / 3)
    efficiency *= 0.35 if accumulators > 14 else 1.0
    for size, tile in ((side, config["rows"]), (side, config["columns"])):
        efficiency *= size / (math.ceil(size / tile) * tile)
    efficiency *= 0.8 if weight_bytes(workload, config) > 16384 and not config["rows_outer"] else 1.0
    efficiency *= 1.0 - 0.05 * abs(math.log2(config["unroll"]) - 2)
    seed = zlib.crc32(f"{workload.key}{sorted(config.items())}".encode())
    flops = SyntheticTemplate().flops(workload)
    return flops / (100e9 * efficiency) * (1.0 + 0.03 * seed / 2**32)


def configs(workload: Workload | None = None) -> list[Config]:
    return list(SyntheticTemplate().space(workload or convolution(), TARGET))


def trial(workload: Workload, config: Config) -> Trial:
    if config["unroll"] == 8 and config["rows"] == 3:
        return Trial(config, "compile_error", (), "out of registers", 0.0)
    return Trial(config, "ok", (latency_s(workload, config),) * 3, "", 0.0)


def record(workload: Workload, config: Config, cpu: str = CPU, **changes: Any) -> Record:
    result = trial(workload, config)
    values: dict[str, Any] = {
        "target_key": TARGET.key,
        "target": target_facts(TARGET),
        "template": "synthetic",
        "template_version": 1,
        "status": result.status,
        "latency_s": result.latency_s,
        "error": result.error,
        "time": "2026-01-01T00:00:00+00:00",
        "tvm_version": "0.27.0",
        "cpu": cpu,
    }
    return Record(workload=workload, config=dict(config), **{**values, **changes})


@dataclass
class SyntheticMeasurer:
    """Computes each trial; before each, calls `before` with the number of trials so far."""

    before: Callable[[int], None] = lambda count: None
    measured: list[tuple[str, Config]] = field(default_factory=list)
    cpu: str = CPU

    def measure(self, task: Task, configs: Sequence[Config]) -> Iterator[Trial]:
        for config in configs:
            self.before(len(self.measured))
            self.measured.append((task.name, config))
            yield trial(task.workload, config)

    def close(self) -> None:
        """Has nothing to close."""


def write_table(folder: Path, workload: Workload) -> Path:
    """A log with every config of a workload."""
    store = RecordStore(folder, "table")
    path = store.log(TARGET.key)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(record(workload, config).to_line() + "\n" for config in configs(workload)))
    return path
