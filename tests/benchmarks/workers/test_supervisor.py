"""Workers that crash, hang, print and spin, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.workers.supervisor import WorkerError, WorkerHandle
from tvmopt.pipeline.support.npz import load_arrays, save_arrays

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

READY_S = 60.0


@pytest.fixture
def job(onnx_file: Path, tmp_path: Path) -> Job:
    image = np.random.default_rng(0).standard_normal((1, 3, 16, 16), dtype=np.float32)
    save_arrays(tmp_path / "inputs.npz", {"image": image})
    return Job(str(onnx_file), str(tmp_path / "inputs.npz"), ("scores",), 1, 1, str(tmp_path))


def python_job(job: Job, tmp_path: Path, body: str) -> Job:
    """A job for a factory whose body is `body`; only a worker ever runs it."""
    path = tmp_path / "factory.py"
    path.write_text(f"import os, sys, time, torch\n\ndef build():\n    {body}\n")
    source = {"spec": f"{path}:build", "kind": "python", "path": str(path), "factory": "build"}
    return Job(job.onnx, job.inputs, job.outputs, 1, 1, job.folder, source)


def load(worker: WorkerHandle, job: Job, timeout_s: float = READY_S) -> dict[str, object]:
    outputs = Path(job.folder) / "outputs.npz"
    return worker.ask({"do": "load", "job": job.to_json(), "outputs": str(outputs)}, timeout_s)


def test_load_warm_and_turn(job: Job, tmp_path: Path) -> None:
    with WorkerHandle("onnxruntime", usable_cores()[:1]) as worker:
        reply = load(worker, job)
        assert min(float(str(reply[name])) for name in ("import_s", "load_s", "first_run_s")) > 0
        (scores,) = load_arrays(tmp_path / "outputs.npz").values()
        assert scores.shape == (1, 5)
        assert worker.ask({"do": "warm", "seconds": 0.01, "calls": 3}, 10)["call_s"] > 0
        turn = worker.ask({"do": "turn", "calls": 7, "untimed": 2, "limit_s": 10}, 10)
        assert len(turn["samples"]) == 7
        assert min(turn["samples"]) > 0
        peak = worker.peak_memory_bytes()
        assert peak is not None
        assert peak >= psutil.Process(worker.pid).memory_info().rss > 10 * 2**20
    assert not psutil.pid_exists(worker.pid)


def test_a_turn_is_bounded_in_time(job: Job, tmp_path: Path) -> None:
    with WorkerHandle("onnxruntime", usable_cores()[:1]) as worker:
        load(worker, job)
        turn = worker.ask({"do": "turn", "calls": 10**9, "untimed": 0, "limit_s": 0.05}, 10)
    assert sum(turn["samples"]) < 1.0


def test_pinned_to_its_cores_with_that_many_threads(job: Job, tmp_path: Path) -> None:
    core = usable_cores()[-1]
    with WorkerHandle("onnxruntime", [core]) as worker:
        load(worker, job)
        process = psutil.Process(worker.pid)
        assert process.cpu_affinity() == [core]
        assert process.environ()["OMP_NUM_THREADS"] == process.environ()["TVM_NUM_THREADS"] == "1"


@pytest.mark.skipif(len(usable_cores()) < 2, reason="needs two cores")
def test_a_suspended_worker_takes_no_processor_time(job: Job, tmp_path: Path) -> None:
    with WorkerHandle("onnxruntime", usable_cores()[:2]) as worker:
        load(worker, Job(job.onnx, job.inputs, job.outputs, 1, 2, job.folder))
        worker.ask({"do": "turn", "calls": 50, "untimed": 0, "limit_s": 5}, 10)
        worker.suspend()
        time.sleep(0.05)
        process = psutil.Process(worker.pid)
        before = process.cpu_times()
        time.sleep(0.5)
        after = process.cpu_times()
        assert process.status() == psutil.STATUS_STOPPED
        assert after.user + after.system == before.user + before.system
        assert len(worker.ask({"do": "turn", "calls": 3, "untimed": 0, "limit_s": 5}, 10)["samples"]) == 3


def test_exception(job: Job, tmp_path: Path) -> None:
    with WorkerHandle("onnxruntime", usable_cores()[:1]) as worker:
        bad = Job(str(tmp_path / "none.onnx"), job.inputs, job.outputs, 1, 1, job.folder)
        with pytest.raises(WorkerError, match="^load failed: .*none.onnx") as caught:
            load(worker, bad)
        assert "\n" not in str(caught.value)
        assert load(worker, job)["settings"]


def test_crash(job: Job, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    crash = python_job(job, tmp_path, "print('the last word', file=sys.stderr, flush=True); os.kill(os.getpid(), 11)")
    with (
        WorkerHandle("pytorch", usable_cores()[:1]) as worker,
        pytest.raises(WorkerError, match="^crashed with SIGSEGV during load: the last word$"),
    ):
        load(worker, crash)


def test_exit(job: Job, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with (
        WorkerHandle("pytorch", usable_cores()[:1]) as worker,
        pytest.raises(WorkerError, match="^ended with exit code 7 during load"),
    ):
        load(worker, python_job(job, tmp_path, "os._exit(7)"))


def test_hang(job: Job, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    with WorkerHandle("pytorch", usable_cores()[:1]) as worker:
        began = time.monotonic()
        with pytest.raises(WorkerError, match="^hung: no answer to load in 2 s$"):
            load(worker, python_job(job, tmp_path, "time.sleep(1000)"), timeout_s=2.0)
        assert time.monotonic() - began < 10
        assert not psutil.pid_exists(worker.pid)


def test_prints_do_not_disturb_the_pipe(job: Job, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    noisy = "print('{}'); os.write(1, b'{\"ok\": false}\\n'); return torch.nn.Flatten(), (torch.zeros(1, 3, 16, 16),)"
    with WorkerHandle("pytorch", usable_cores()[:1]) as worker:
        assert load(worker, python_job(job, tmp_path, noisy))["ok"] is True


def test_a_worker_ends_with_its_supervisor_even_when_suspended(repository: Path) -> None:
    code = (
        "import sys; from tvmopt.benchmarks.workers.supervisor import WorkerHandle\n"
        f"worker = WorkerHandle('onnxruntime', [{usable_cores()[0]}])\n"
        "try: worker.ask({'do': 'turn'}, 60)\n"
        "except Exception: pass\n"
        "worker.suspend(); print(worker.pid, flush=True); sys.stdin.read()\n"
    )
    supervisor = subprocess.Popen(
        [sys.executable, "-c", code], cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert supervisor.stdout is not None
    worker = int(supervisor.stdout.readline())
    assert psutil.Process(worker).status() == psutil.STATUS_STOPPED
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.communicate()
    deadline = time.monotonic() + 10
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the worker outlived its supervisor"
        time.sleep(0.05)
