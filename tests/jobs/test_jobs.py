"""Jobs called from Python: their results, their events, and cancellation from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

import tvmopt
from tests import tiny
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.records.store import read_records
from tvmopt.pipeline.support.progress import Event, StepBegan, StepEnded
from tvmopt.pipeline.tuning.progress import TrialDone
from tvmopt.schedules.space import config_key

pytestmark = pytest.mark.slow


class Counting(tvmopt.Listener):
    """Records events, and signals another thread once `ready` is true for an event."""

    def __init__(self, ready: Callable[[list[Event]], bool] = lambda events: False) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.ready = ready
        self.is_ready, self.go_on = threading.Event(), threading.Event()

    def tell(self, event: Event) -> None:
        self.events.append(event)
        if not self.is_ready.is_set() and self.ready(self.events):
            self.is_ready.set()
            assert self.go_on.wait(60.0)

    def steps(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, StepBegan)]


def trials(events: list[Event]) -> int:
    return sum(isinstance(event, TrialDone) for event in events)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def cancelled(act: Callable[[], object], listener: Counting) -> tvmopt.CancelledError:
    """The error that `act` raises in a separate thread when this one cancels it as soon as the listener is ready."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except tvmopt.CancelledError as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    assert listener.is_ready.wait(200.0)
    listener.cancel()
    listener.go_on.set()
    thread.join(60.0)
    assert not thread.is_alive()
    (error,) = raised
    assert isinstance(error, tvmopt.CancelledError)
    return error


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(tiny.save_two_convolutions(tmp_path))


def test_tune_compile_run_verify(model: str, tmp_path: Path) -> None:
    listener, logs, artifact = Counting(), tmp_path / "logs", tmp_path / "two.tar"
    job = tvmopt.TuneJob(model, threads=1, logs=logs, search=tvmopt.TuneOptions(trials=4))
    tuned = tvmopt.tune(job, listener)
    assert tuned.summary.stopped == "trials"
    assert trials(listener.events) == tuned.summary.trials
    assert tuned.finalists == sum(record.in_model for record in read_records(tuned.log))
    assert listener.steps()[:2] == ["importing", "tuning"]
    assert listener.steps()[-1].startswith("timing ")
    ended = [event.text for event in listener.events if isinstance(event, StepEnded)]
    assert ended == listener.steps()
    assert all(str(event) for event in listener.events)

    compiled = tvmopt.compile(tvmopt.CompileJob(model, artifact, threads=1, logs=logs))
    assert compiled.report.path == artifact
    assert "record" in {choice.origin for choice in compiled.report.choices}

    inputs = tvmopt.example_inputs(load_model(model))
    result = tvmopt.run(tvmopt.RunJob(artifact, inputs, check=True, repeat=3))
    (golden,) = result.golden
    assert golden.error.relative < 1e-5
    assert len(result.latency_s) == 3
    assert result.outputs is not None
    (output,) = result.outputs.values()
    assert output.dtype == np.float32

    verified = tvmopt.verify(tvmopt.VerifyJob(model, artifact, inputs))
    assert verified.verification.first_wrong is None
    assert verified.manifest["model"]["name"] == "two"


def test_inspect(model: str) -> None:
    listener = Counting()
    found = tvmopt.inspect(tvmopt.InspectJob(model, "aarch64", threads=2), listener)
    assert found.target.key == "aarch64-neon-2t"
    assert listener.steps() == ["inspecting"]
    assert not found.target.strict_nan
    assert tvmopt.inspect(tvmopt.InspectJob(model, strict_nan=True)).target.strict_nan


def test_a_cancelled_tune_keeps_its_trials_and_goes_on(model: str, tmp_path: Path) -> None:
    before = children()
    job = tvmopt.TuneJob(model, threads=1, logs=tmp_path / "logs", search=tvmopt.TuneOptions(trials=10_000))
    listener = Counting(lambda events: trials(events) == 5)
    stop = cancelled(lambda: tvmopt.tune(job, listener), listener)
    assert isinstance(stop.partial, tvmopt.TuneResult)
    assert (stop.partial.summary.trials, stop.partial.finalists) == (5, None)
    assert children() == before
    kept = list(read_records(stop.partial.log))
    assert len(kept) == trials(listener.events) == 5

    again = tvmopt.tune(replace(job, search=tvmopt.TuneOptions(trials=2, finalists=0)))
    assert again.log == stop.partial.log
    everything = list(read_records(again.log))
    assert everything[:5] == kept
    assert len({(record.workload_key, config_key(record.config)) for record in everything}) == 7


def test_cancelled_finals_leave_the_log_alone(model: str, tmp_path: Path) -> None:
    before = children()
    job = tvmopt.TuneJob(model, threads=1, logs=tmp_path / "logs", search=tvmopt.TuneOptions(trials=4))
    listener = Counting(lambda events: isinstance(events[-1], StepBegan) and "finalists, 2 of" in events[-1].text)
    stop = cancelled(lambda: tvmopt.tune(job, listener), listener)
    assert stop.partial.summary.stopped == "trials"
    assert stop.partial.finalists is None
    assert not any(record.in_model for record in read_records(stop.partial.log))
    assert children() == before


def test_a_cancelled_compile_writes_nothing(model: str, tmp_path: Path) -> None:
    files = sorted(tmp_path.iterdir())
    listener = Counting(lambda events: str(events[-1]) == "[1/2] importing")
    job = tvmopt.CompileJob(model, tmp_path / "two.tar", logs=tmp_path / "logs")
    assert cancelled(lambda: tvmopt.compile(job, listener), listener).partial is None
    assert sorted(tmp_path.iterdir()) == files


def test_a_cancelled_compare_keeps_complete_rounds(model: str, tmp_path: Path) -> None:
    before, files = children(), sorted(tmp_path.iterdir())
    listener = Counting(lambda events: isinstance(events[-1], StepBegan) and "round 7 of" in events[-1].text)
    job = tvmopt.CompareJob(model, ("onnxruntime", "openvino"), threads=(1,), rounds=500, logs=tmp_path / "logs")
    stop = cancelled(lambda: tvmopt.compare(job, listener), listener)
    assert not stop.partial.complete
    assert {len(row.latency_s.turns) for row in stop.partial.measurements} == {6}
    assert children() == before
    assert sorted(tmp_path.iterdir()) == files


def test_ctrl_c_is_a_cancellation(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def press(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tvmopt.jobs.inspecting.inspect_model", press)
    with pytest.raises(tvmopt.CancelledError):
        tvmopt.inspect(tvmopt.InspectJob(model))


def test_what_cannot_be_run() -> None:
    with pytest.raises(tvmopt.TvmoptError, match="nothing to run on"):
        tvmopt.RunJob(Path("two.tar"))
    with pytest.raises(tvmopt.TvmoptError, match="unknown target 'lvm'; did you mean llvm"):
        tvmopt.tune(tvmopt.TuneJob("two.onnx", "lvm"))
