"""Only bytes and JSON pass between building and running a candidate, so a network could connect the two."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import tiny
from tests.pipeline.devices.elsewhere import CPU, ElsewhereDevice
from tvmopt.pipeline.devices.channel import WorkerLostError
from tvmopt.pipeline.devices.program import Program
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import RuntimeMissingError
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.tuning.measure import runner
from tvmopt.pipeline.tuning.measure.build_worker import build_kernel
from tvmopt.pipeline.tuning.measure.built_kernel import Argument, BuiltKernel
from tvmopt.pipeline.tuning.rerank import time_finalists
from tvmopt.pipeline.tuning.search import TuneOptions
from tvmopt.pipeline.tuning.tune_model import check_measurable, tune_tasks
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target

pytestmark = pytest.mark.slow

START_S, RUN_S = 120.0, 60.0


@pytest.fixture(scope="module")
def target() -> Target:
    return parse_target("llvm", 2)


@pytest.fixture(scope="module")
def kernel(target: Target) -> BuiltKernel:
    task = tiny.tasks(target)[0]
    config = template_for(task.workload, target).default(task.workload, target)
    return build_kernel(task.workload, target, config)


def test_a_built_kernel_says_what_it_needs(kernel: BuiltKernel) -> None:
    assert kernel.library.startswith(b"\x7fELF")
    assert len(kernel.library) < 1 << 17
    assert kernel.arguments[-1] == Argument(kernel.workload.output.physical_shape, "float32")
    assert len(kernel.arguments) == len(kernel.workload.inputs) + 1
    assert kernel.parallel_tasks >= 0
    assert BuiltKernel.from_json(json.loads(json.dumps(kernel.to_json()))) == kernel


def test_a_process_that_never_built_anything_runs_it(kernel: BuiltKernel, target: Target, tmp_path: Path) -> None:
    """From JSON on disk to a checked and timed kernel."""
    file = tmp_path / "kernel.json"
    file.write_text(json.dumps(kernel.to_json()))
    crossed = json.loads(file.read_text())
    task = tiny.tasks(target)[0]
    with LOCAL.start(Program(runner.MODULE, threads=target.threads)) as channel:
        assert channel.ask({"command": "target", "target": target.to_json(), "pool": ""}, START_S)["status"] == "ok"
        prepare = {"command": "task", "workload": task.workload.to_json(), "seed": 3, "streamed_bytes": 0}
        assert channel.ask(prepare, START_S)["status"] == "ok"
        answer = channel.ask({"command": "run", "kernel": crossed}, RUN_S)
        assert answer["status"] == "ok", answer["error"]
        assert min(answer["latency_s"]) > 0
        # The runner refuses inputs that do not match the description; the kernel would read past their ends.
        crossed["arguments"][0]["shape"][1] += 1
        with pytest.raises(
            WorkerLostError, match="^the worker ended with code 1: ValueError: input 0 is .*kernel takes"
        ):
            channel.ask({"command": "run", "kernel": crossed}, RUN_S)


def test_tuning_on_another_device(target: Target, tmp_path: Path, repository: Path) -> None:
    """Kernels are built here, run there, and filed under its processor."""
    device = ElsewhereDevice(tmp_path / "elsewhere", repository)
    store = RecordStore(tmp_path / "logs", "two")
    options = TuneOptions(trials=4, tuner="grid", finalists=1, device=device)
    tasks = tiny.tasks(target)[:1]
    summary = tune_tasks(tasks, target, store, options)
    assert summary.trials >= 4
    assert device.started == [runner.MODULE]
    records = store.records()
    assert {record.cpu for record in records} == {CPU}
    assert [record.error for record in records] == [""] * len(records)
    assert any(sent.endswith("pool.so") for sent in device.sent)
    assert time_finalists((tiny.load(),), target, store, 1, device=device) > 0
    assert device.started[1:] == ["tvmopt.pipeline.tuning.rerank_worker"]
    assert all(record.cpu == CPU for record in store.records() if record.in_model)


def test_a_device_that_cannot_run_the_target(tmp_path: Path, repository: Path) -> None:
    device = ElsewhereDevice(tmp_path, repository)
    with pytest.raises(RuntimeMissingError, match="elsewhere cannot run code for armv7l-neon32-4t"):
        check_measurable(parse_target("armv7"), device)
