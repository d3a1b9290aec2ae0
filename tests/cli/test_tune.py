"""``tvmopt tune``: its records, how it resumes, and how it ends when it is stopped or killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import psutil
import pytest

from tests import tiny
from tests.conftest import ROOT, RunTvmopt
from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.records.store import RecordStore, read_records
from tvmopt.schedules.space import config_key
from tvmopt.schedules.target import parse_target

pytestmark = pytest.mark.slow


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.save_two_convolutions(tmp_path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """The log that tuning for two threads writes."""
    return tmp_path / "logs" / parse_target("llvm", 2).key / "two.jsonl"


def configs(records: Sequence[Record]) -> set[tuple[str, tuple[tuple[str, int], ...]]]:
    return {(record.workload_key, config_key(record.config)) for record in records}


def summary(stdout: str) -> tuple[int, str]:
    """The number of trials, and why the run ended."""
    found = re.search(r"(\d+) trials in \d+ s \([\d.]+/s\), \d+ rejected; ended: ([a-z ]+)", stdout)
    assert found is not None, stdout
    return int(found[1]), found[2]


def test_records_and_resuming(run_tvmopt: RunTvmopt, model: Path, log: Path) -> None:
    command = ("tune", model, "--threads", "2", "--trials", "12", "--logs", "logs")
    first = run_tvmopt(*command)
    assert first.returncode == 0, first.stderr
    records = list(read_records(log))
    names = {task.name for task in tiny.tasks(parse_target("llvm", 2))}
    assert {record.workload_key for record in records} == names
    assert all(record.status == "ok" for record in records)
    assert len(configs(records)) == 12
    # The fastest configs and the default are measured again at the end, and then inside the model.
    alone = [record for record in records if not record.in_model]
    assert summary(first.stdout) == (len(alone), "trials")
    assert 12 < len(alone) <= 12 + 2 * 4
    assert configs([record for record in records if record.in_model]) < configs(alone)
    assert f"{len(records) - len(alone)} finalists timed inside the model" in first.stdout
    for name in names:
        assert re.search(rf"{name} .* \d+% .* \d+\.\d\d× ", first.stdout), first.stdout
    assert f"records: logs/{log.relative_to(log.parents[1])}" in first.stdout

    again = run_tvmopt(*command)
    assert again.returncode == 0, again.stderr
    everything = list(read_records(log))
    assert everything[: len(records)] == records
    assert len(configs(everything)) == 24

    finals = run_tvmopt("tune", model, "--threads", "2", "--trials", "0", "--logs", "logs")
    assert finals.returncode == 0, finals.stderr
    assert summary(finals.stdout) == (0, "trials")
    added = list(read_records(log))[len(everything) :]
    assert added
    assert all(record.in_model for record in added)


def test_the_kernels_of_several_sizes_are_tuned_together(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    model = tiny.save_onnx(tmp_path / "open.onnx", tiny.TWO_CONVOLUTIONS.replace("float[1,", "float[n,"))
    settings = ("--input-shape", "x:{1,3},8,14,14", "--threads", "1", "--logs", "logs")
    done = run_tvmopt("tune", model, *settings, "--trials", "8")
    assert done.returncode == 0, done.stderr
    records = RecordStore(tmp_path / "logs").records()
    batches = {record.workload.output.shape[0] for record in records}
    assert batches == {1, 3}
    assert len(configs(records)) == 8
    inside = [record for record in records if record.in_model]
    assert {record.workload.output.shape[0] for record in inside} == {1, 3}
    assert f"{len(inside)} finalists timed inside the model" in done.stdout
    assert "the model's tuned kernels, one run in each of 2 sizes: " in done.stdout

    again = run_tvmopt("tune", model, *settings, "--trials", "4")
    assert again.returncode == 0, again.stderr
    assert len(configs(RecordStore(tmp_path / "logs").records())) == 12

    compiled = run_tvmopt("compile", model, *settings, "-o", "open.tar")
    assert compiled.returncode == 0, compiled.stderr
    count = len({record.workload_key for record in records})
    assert f"{count} of {count + 4} kernels from records" in compiled.stdout  # the others are copies without choices
    assert run_tvmopt("run", "open.tar", "--check").returncode == 0
    refused = run_tvmopt("profile", model, "--input-shape", "x:{1,3},8,14,14")
    assert refused.returncode == 2
    assert "only `tvmopt compile` and `tvmopt tune` take sets of sizes" in refused.stderr


def test_tasks_without_a_trial_are_reported(run_tvmopt: RunTvmopt, model: Path) -> None:
    count = len(tiny.tasks(parse_target("llvm", 2)))
    command = ("tune", model, "--threads", "2", "--logs", "logs", "--trials")
    done = run_tvmopt(*command, "1")
    assert done.returncode == 0, done.stderr
    assert (
        f"{count - 1} of {count} tasks had no trial yet; run the same command again to continue with them"
        in done.stdout
    )
    done = run_tvmopt(*command, str(count))
    assert done.returncode == 0, done.stderr
    assert "no trial yet" not in done.stdout


@pytest.mark.parametrize(("tuner", "options"), [("random", ["--early-stopping", "4"]), ("ga", ["--threads", "1"])])
def test_tuners(run_tvmopt: RunTvmopt, tmp_path: Path, model: Path, tuner: str, options: list[str]) -> None:
    done = run_tvmopt("tune", model, "--trials", "6", "--tuner", tuner, *options, "--logs", "logs")
    assert done.returncode == 0, done.stderr
    threads = {"--threads": 1}.get(options[0], len(os.sched_getaffinity(0)))
    records = RecordStore(tmp_path / "logs").records()
    assert {record.target["threads"] for record in records} == {threads}
    assert len(configs(records)) == 6


def test_some_tasks_for_some_time(run_tvmopt: RunTvmopt, model: Path, log: Path) -> None:
    name = tiny.tasks(parse_target("llvm", 2))[0].name
    options = ("--threads", "2", "--tuner", "grid", "--trials", "100000", "--logs", "logs")
    done = run_tvmopt("tune", model, *options, "--tasks", f"{name[:-4]}*", "--time-limit", "5s")
    assert done.returncode == 0, done.stderr
    assert {record.workload_key for record in read_records(log)} == {name}
    assert summary(done.stdout)[1] in ("time limit", "all tasks ended")
    seconds = re.search(r"trials in (\d+) s", done.stdout)
    assert seconds is not None
    assert int(seconds[1]) <= 12


class Search:
    """``tvmopt tune`` in the background, usually with far more trials than it will reach."""

    def __init__(self, model: Path, log: Path, trials: str = "100000") -> None:
        self.log = log
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tvmopt", "tune", model, "--threads", "2", "--trials", trials, "--logs", "logs"],
            cwd=model.parent,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.workers: list[int] = []

    def wait_for_records(self, count: int) -> None:
        """Waits for this number of records, then saves the worker processes."""
        self._wait_until(lambda: self.log.exists() and self.log.read_bytes().count(b"\n") >= count)
        self.workers = children(self.process.pid)
        assert self.workers

    def wait_for_the_finals(self) -> None:
        """Waits until the builds of the model run in turn, then saves the process that runs them."""

        def running() -> bool:
            self.workers = [
                pid for pid in children(self.process.pid) if runs("tvmopt.pipeline.tuning.rerank_worker", pid)
            ]
            return bool(self.workers)

        self._wait_until(running)

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 100.0
        while not ready():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> tuple[int, str, str]:
        """Sends a signal; returns the exit code and the outputs."""
        self.process.send_signal(how)
        stdout, stderr = self.process.communicate(timeout=30.0)
        return self.process.returncode, stdout, stderr


def parent(pid: int) -> int:
    """The parent of a live process; 0 for one that is gone or a zombie."""
    try:
        state, parent_pid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return 0
    return 0 if state == "Z" else int(parent_pid)


def runs(module: str, pid: int) -> bool:
    try:
        return module in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False


def children(pid: int) -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and parent(int(path.name)) == pid]


def all_gone(pids: list[int], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while any(parent(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_stopping_with_ctrl_c(model: Path, log: Path) -> None:
    search = Search(model, log)
    search.wait_for_records(3)
    code, stdout, stderr = search.end(signal.SIGINT)
    assert code == 130
    assert stderr.strip() == "tvmopt: stopped with Ctrl-C; what was done is kept"
    assert summary(stdout) == (len(list(read_records(log))), "interrupted")
    assert not any(parent(pid) for pid in search.workers)


def test_stopping_the_finals_with_ctrl_c(model: Path, log: Path) -> None:
    target = parse_target("llvm", 2)
    first, _ = tiny.tasks(target)
    store = RecordStore(model.parent / "logs", "two")
    for place, config in enumerate(islice(tiny.other_configs(first, target), 3)):
        store.append(tiny.record(first, target, config, latency_s=1e-3 * (place + 1)))
    before = log.read_bytes()
    search = Search(model, log, trials="0")
    search.wait_for_the_finals()
    code, _, stderr = search.end(signal.SIGINT)
    assert code == 130
    assert stderr.strip() == "tvmopt: stopped with Ctrl-C; what was done is kept"
    assert log.read_bytes() == before
    assert all_gone(search.workers, within_s=5.0)


def test_being_killed(run_tvmopt: RunTvmopt, model: Path, log: Path) -> None:
    search = Search(model, log)
    search.wait_for_records(3)
    before = log.read_bytes()
    assert search.end(signal.SIGKILL)[0] == -signal.SIGKILL
    assert all_gone(search.workers, within_s=5.0)
    assert log.read_bytes().startswith(before)
    kept = list(read_records(log))
    assert len(kept) >= before.count(b"\n") >= 3

    done = run_tvmopt("tune", model, "--threads", "2", "--trials", "4", "--logs", "logs")
    assert done.returncode == 0, done.stderr
    everything = list(read_records(log))
    assert everything[: len(kept)] == kept
    assert len(configs(everything)) == len(configs(kept)) + 4
