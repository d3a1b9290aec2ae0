"""The search for a runtime's best parameters, with a runtime whose parameters do what their names say."""

from __future__ import annotations

import importlib
import os
import time
from pathlib import Path

import psutil
import pytest

from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions, SearchOptions
from tvmopt.benchmarks.measurements.search import Search
from tvmopt.benchmarks.measurements.types import Measurement
from tvmopt.benchmarks.runtimes import registry
from tvmopt.benchmarks.runtimes.base import WAITING, Choice, Job, cores_of
from tvmopt.pipeline.errors import CancelledError, UsageError
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan

pytestmark = pytest.mark.slow  # a process or two for each test

QUICK = MeasureOptions(rounds=5, turn_s=0.005, warmup_s=0.01)
BRIEF = SearchOptions(seconds=0.1, turn_s=0.005)

FOLDER = """
import os, time
from dataclasses import replace
from pathlib import Path
from tvmopt.benchmarks.runtimes.base import Choice, Runtime
from tvmopt.benchmarks.runtimes.onnxruntime.runner import RunOnnxruntime

OTHERS = ("wrong", "crash", "raise", "slower", "fast", "fickle", "once")
PACE = Choice(
    name="pace", about="its speed", default="slow", others=OTHERS
)
LOUD = Choice(name="loud", about="what its environment says", default="no", others=("yes",), variable="PARROT_LOUD")
SLEEPS = {"slow": 0.06, "slower": 0.12}


class RunParrot(RunOnnxruntime):
    def load(self, job):
        pace = PACE.of(job)
        if pace == "raise":
            raise RuntimeError("no luck")
        if pace == "crash":
            os.abort()
        self.pace, self.sleep_s = pace, SLEEPS.get(pace, 0.0)
        if pace in ("fickle", "once"):  # fast in its first process only
            mark = Path(job.folder) / "mark"
            if mark.exists() and pace == "once":
                raise RuntimeError("gone")
            self.sleep_s = 0.12 if mark.exists() else 0.0
            mark.touch()
        if os.environ.get("PARROT_LOUD") == "yes":
            self.sleep_s /= 8
        self.settings["pace"] = pace
        super().load(job)

    def run(self):
        time.sleep(self.sleep_s)
        super().run()

    def read_outputs(self):
        return [output + (self.pace == "wrong") for output in super().read_outputs()]


RUNTIME = Runtime(
    name="parrot",
    title="Parrot",
    variant="FP32",
    about="ONNX Runtime under another name.",
    packages=(),
    modules=("onnxruntime",),
    by_hand="teach it to talk",
    runner=RunParrot,
    unprofiled="it tells nothing",
    peer=True,
    choices={choices},
)
"""
LINE = "from tvmopt.benchmarks.runtimes import registry\nregistry.RUNTIMES = (parrot.RUNTIME, *registry.RUNTIMES)\n"


@pytest.fixture
def choices() -> str:
    return "(PACE,)"


@pytest.fixture(autouse=True)
def _parrot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choices: str) -> None:
    """The runtime, registered in this process and in every process that it starts."""
    folder = tmp_path / "parrot"
    folder.mkdir()
    (folder / "parrot.py").write_text(FOLDER.replace("{choices}", choices))
    (folder / "sitecustomize.py").write_text(f"import parrot\n{LINE}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", "")))))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(importlib.sys.modules, "parrot", raising=False)
    monkeypatch.setattr(registry, "RUNTIMES", (importlib.import_module("parrot").RUNTIME, *registry.RUNTIMES))
    yield
    importlib.sys.modules.pop("parrot", None)


class Steps(Listener):
    """Records the steps, and asks for a stop at the safe point number `stop_at` within a search."""

    def __init__(self, stop_at: int = 0) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.steps: list[StepBegan] = []
        self.workers: list[psutil.Process] = []
        self._points = 0

    def tell(self, event: Event) -> None:
        if isinstance(event, StepBegan):
            self.steps.append(event)

    def check(self) -> None:
        if self.steps and "searching" in self.steps[-1].text:
            self._points += 1
            if self._points == self.stop_at:
                self.workers = psutil.Process().children(recursive=True)
                raise CancelledError


def compare(model: Path, listener: Listener | None = None, runtime: str = "parrot") -> Measurement:
    options = CompareOptions(str(model), (runtime,), threads=(1,), measure=QUICK, search=BRIEF)
    (row,) = from_document(run_comparison(options, listener)).measurements
    return row


def search_of(row: Measurement) -> Search:
    assert row.search is not None, row.message
    return row.search


@pytest.mark.parametrize("choices", ["(replace(PACE, others=PACE.others[:-2]),)"])
def test_the_best_value_that_is_right_is_found(onnx_file: Path) -> None:
    listener = Steps()
    row = compare(onnx_file, listener)
    search = search_of(row)
    outcomes = {trial.value: (trial.outcome, trial.message) for trial in search.trials}
    assert list(outcomes) == ["wrong", "crash", "raise", "slower", "fast"]
    assert outcomes["wrong"][0] == "failed"
    assert outcomes["wrong"][1].startswith("wrong outputs: relative error ")
    assert outcomes["crash"] == ("failed", "crashed with SIGABRT during load")
    assert outcomes["raise"] == ("failed", "load failed: RuntimeError: no luck")
    assert outcomes["slower"] == ("no gain", "")
    assert outcomes["fast"] == ("taken", "")
    assert search.found == {"pace": "fast"}
    assert search.confirmed
    assert search.ratio is not None
    assert search.ratio < 1
    # The row is that of the values found.
    assert row.status == "ok"
    assert row.settings["pace"] == "fast"
    assert {step.of for step in listener.steps} == {len(listener.steps)}


@pytest.mark.parametrize("choices", ['(replace(PACE, others=("fickle",)),)'])
def test_a_gain_that_does_not_come_again_is_not_taken(onnx_file: Path) -> None:
    row = compare(onnx_file)
    search = search_of(row)
    assert [trial.outcome for trial in search.trials] == ["taken"]
    assert search.found == {}
    assert not search.confirmed
    assert search.ratio is not None
    assert search.ratio > 1
    assert row.settings["pace"] == "slow"


@pytest.mark.parametrize("choices", ['(replace(PACE, others=("once",)),)'])
def test_a_gain_that_cannot_be_measured_again_says_why(onnx_file: Path) -> None:
    row = compare(onnx_file)
    search = search_of(row)
    assert [trial.outcome for trial in search.trials] == ["taken"]
    assert (search.found, search.ratio, search.confirmed) == ({}, None, False)
    assert search.message == "load failed: RuntimeError: gone"
    assert row.settings["pace"] == "slow"


@pytest.mark.parametrize("choices", ['(LOUD, replace(PACE, others=("slower",)))'])
def test_a_choice_may_be_an_environment_variable(onnx_file: Path) -> None:
    row = compare(onnx_file)
    search = search_of(row)
    assert search.found == {"loud": "yes"}
    assert [trial.outcome for trial in search.trials] == ["taken", "no gain"]
    assert row.settings["loud"] == "yes"
    assert row.settings["pace"] == "slow"


@pytest.mark.parametrize("choices", ["()"])
def test_without_choices_there_is_no_search(onnx_file: Path) -> None:
    row = compare(onnx_file)
    assert (row.status, row.search) == ("ok", None)


def test_a_runtime_that_does_not_run_has_its_row(onnx_file: Path) -> None:
    row = compare(onnx_file, runtime="pytorch")
    assert (row.status, row.search) == ("not_applicable", None)


@pytest.mark.parametrize("stop_at", [1, 8])
def test_a_stop_within_a_search_leaves_nothing_behind(onnx_file: Path, stop_at: int) -> None:
    listener = Steps(stop_at)
    with pytest.raises(CancelledError):
        compare(onnx_file, listener)
    assert bool(listener.workers) == (stop_at > 1)
    deadline = time.monotonic() + 10
    while any(worker.is_running() for worker in listener.workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(worker.is_running() for worker in listener.workers)


def test_values_of_a_choice() -> None:
    plain = Choice(name="a", about="", default="on", others=("off",))
    assert plain.alternatives(8) == ("off",)
    counted = Choice(name="b", about="", default="1", counted_from=2)
    assert [counted.alternatives(threads) for threads in (1, 2, 3, 6, 8)] == [
        (),
        ("2",),
        ("2", "3"),
        ("2", "4", "6"),
        ("2", "4", "8"),
    ]
    job = Job("", "", (), 1, 1, "", parameters={"b": "4"})
    assert (plain.of(job), counted.of(job)) == ("on", "4")
    assert Job.from_json(job.to_json()) == job


def test_fewer_threads_are_fewer_cores() -> None:
    assert cores_of((4, 5, 6), {}) == (4, 5, 6)
    assert cores_of((4, 5, 6), {"threads": "2", "fusion": "off"}) == (4, 5)


def test_only_choices_with_a_variable_set_one() -> None:
    runtime = registry.find_runtime("pytorch")
    assert runtime.variables({WAITING.name: "active", "oneDNN": "off"}) == {"OMP_WAIT_POLICY": "active"}
    assert registry.find_runtime("onnxruntime").variables({"between operators": "sleep"}) == {}


def test_the_budget_is_shared_by_the_trials() -> None:
    options = SearchOptions(seconds=10, turn_s=0.1, untimed_calls=1, max_rounds=20)
    assert options.rounds(trials=5, call_s=0.01) == 9  # 10 s for 2 sides × 5 trials × 0.11 s
    assert options.rounds(trials=1, call_s=0.001) == 20
    assert options.rounds(trials=5, call_s=2.0) == 5  # what an interval needs
    with pytest.raises(UsageError, match="the seconds of a search must be above 0"):
        SearchOptions(seconds=0)
