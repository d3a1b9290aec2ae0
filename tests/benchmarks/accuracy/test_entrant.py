"""What becomes of a runtime whose outputs are not the model's, and what decides the keys of its judgements."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tvmopt.benchmarks.accuracy.entrant import Entrant, Setting
from tvmopt.benchmarks.accuracy.evaluate import Race, accuracy_of
from tvmopt.benchmarks.accuracy.rows import rows_of
from tvmopt.benchmarks.accuracy.subject import Chosen, Subject
from tvmopt.benchmarks.measurements.accuracy import AccuracyValue
from tvmopt.benchmarks.measurements.options import DataOptions
from tvmopt.benchmarks.runtimes.registry import find_runtime
from tvmopt.benchmarks.workers.worker import output_key
from tvmopt.pipeline.data.batches import Prepared
from tvmopt.pipeline.data.labelled.sample_set import LabelledSet
from tvmopt.pipeline.data.metrics.metric import Difference, Score, Signature
from tvmopt.pipeline.data.metrics.registry import find_metric
from tvmopt.pipeline.data.preprocessing import Preprocessing
from tvmopt.pipeline.support.cache import Cache
from tvmopt.pipeline.support.npz import save_arrays
from tvmopt.pipeline.types import TensorSpec

NUMBERS = (0, 2, 1)


class Worker:
    """A process that gives these outputs for each batch."""

    def __init__(self, *outputs: np.ndarray) -> None:
        self.outputs = outputs

    def ask(self, command: dict[str, Any], _timeout_s: float) -> None:
        made = {output_key(batch, at): array for batch in range(3) for at, array in enumerate(self.outputs)}
        save_arrays(Path(command["outputs"]), made)

    def suspend(self) -> None:
        pass

    kill = suspend


@pytest.fixture
def chosen() -> Chosen:
    samples = LabelledSet(
        "test", Path("set"), "classes", ["a", "b", "c"], np.zeros, NUMBERS.__getitem__, NUMBERS, fingerprint="files"
    )
    return Chosen(samples, samples, find_metric("top1"), DataOptions(Path("set")))


@pytest.fixture
def made(tmp_path: Path, chosen: Chosen) -> Entrant:
    signature = Signature(TensorSpec("x", (1, 3), "float32"), (TensorSpec("y", (1, 3), "float32"),))
    prepared: Any = SimpleNamespace(model=SimpleNamespace(cuts=()), quantized=False)
    preprocessing = Preprocessing("as it is", "", (3,), lambda sample: sample)
    judge = chosen.metric.fit(chosen.samples, signature)
    job: Any = None
    subject = Subject("net", "onnx", "digest", signature, preprocessing, judge, job, prepared)
    return Entrant(find_runtime("onnxruntime"), subject, "ort", "ORT", Setting((0,), (), tmp_path))


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ([np.zeros((1, 3))], ""),
        ([], "it gave 0 outputs, the model has 1"),
        ([np.zeros((1, 3)), np.zeros(1)], "it gave 2 outputs, the model has 1"),
        ([np.zeros((1, 2))], "its output y has shape (1, 2), the model's (1, 3)"),
        ([np.zeros((1, 3, 1, 1))], "its output y has shape (1, 3, 1, 1), the model's (1, 3)"),
    ],
)
def test_outputs_that_are_not_the_models(made: Entrant, outputs: list[np.ndarray], message: str) -> None:
    worker: Any = Worker(*outputs)
    made._worker = worker
    judgements = made.answer(Prepared((0, 1, 2), np.zeros((3, 3), np.float32), {}))
    assert (judgements is None) == bool(message)
    assert (made.status, made.message) == ("failed" if message else "ok", message)
    if judgements is not None:
        assert [table.item() for table in judgements.tables.values()] == list(NUMBERS)


def test_what_decides_the_key_of_judgements(made: Entrant, chosen: Chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    def key(subject: Subject = made.subject, asked: Chosen = chosen, name: str = "onnxruntime") -> str:
        return Entrant(find_runtime(name), subject, name, name, made.setting).key(asked, range(3))

    before = key()
    assert before == key()
    listed = replace(chosen, samples=replace(chosen.samples, classes=("ape", "bee", "owl")))
    judge: Any = replace(made.subject.judge, notes=("labels are counted from 1",))
    keys = {before, key(asked=listed), key(replace(made.subject, judge=judge)), key(name="openvino")}
    borrowed = {}
    for place in ("one", "two"):
        monkeypatch.setattr("tvmopt.benchmarks.accuracy.key.identity", lambda _, place=place: (place,))
        borrowed[place] = key(name="mxnet")
    keys |= set(borrowed.values())
    monkeypatch.setattr("tvmopt.benchmarks.accuracy.key.has_int8_dot_product", lambda: "another processor")
    keys.add(key())
    monkeypatch.setattr("tvmopt.benchmarks.accuracy.key._code", lambda: "another state")
    keys.add(key())
    assert len(keys) == 8


def test_the_common_part_of_a_key_is_made_once(made: Entrant, chosen: Chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made.key(chosen, range(1))
    monkeypatch.delattr("tvmopt.benchmarks.accuracy.entrant.judgements_key")
    assert made.key(chosen, range(1)) == first != made.key(chosen, range(2))


def test_a_difference_without_an_interval(made: Entrant, chosen: Chosen) -> None:
    class Judge:
        notes = ()

        def __init__(self, difference: float) -> None:
            self.found = Difference(difference, (math.nan, math.nan))

        def score(self, *_: object) -> dict[str, Score]:
            return {"map": Score(0.5, (0.4, 0.6))}

        def difference(self, *_: object) -> Difference:
            return self.found

    for difference in (0.25, math.nan):
        judge: Any = Judge(difference)
        subject = replace(made.subject, judge=judge)
        entrants = [Entrant(made.runtime, subject, name, name, made.setting, {0: np.zeros((1, 1))}) for name in "ab"]
        value = rows_of(chosen, entrants, "a").rows[1].difference
        assert value == (AccuracyValue("map", 0.25, 0.25, 0.25) if difference == 0.25 else None)


def test_the_reference_is_the_first_that_was_judged(made: Entrant, chosen: Chosen, tmp_path: Path) -> None:
    tables = {place: np.array([[0.0]]) for place in range(3)}
    failed = Entrant(made.runtime, made.subject, "keras", "Keras", made.setting, status="failed", message="why")
    others = [Entrant(made.runtime, made.subject, name, name, made.setting, tables) for name in ("ort", "openvino")]
    accuracy = accuracy_of(Race(chosen, [failed, *others], ("keras", "ort"), Cache(tmp_path)))
    assert accuracy.reference == "ort"
    assert [row.difference is None for row in accuracy.rows] == [True, True, False]
    assert accuracy_of(Race(chosen, [failed, *others], (), Cache(tmp_path))).reference == ""


def test_a_quantised_model_is_not_quantised_by_runtimes(made: Entrant, chosen: Chosen) -> None:
    tables = {place: np.array([[0.0]]) for place in range(3)}
    for quantized in (False, True):
        prepared: Any = SimpleNamespace(model=SimpleNamespace(cuts=()), quantized=quantized)
        subject = replace(made.subject, prepared=prepared)
        names = ("onnxruntime", "openvino-int8")
        entrants = [Entrant(find_runtime(name), subject, name, name, made.setting, tables) for name in names]
        accuracy = rows_of(chosen, entrants, "")
        assert any(note.startswith("INT8 runtimes were calibrated") for note in accuracy.notes) != quantized
        assert [row.variant for row in accuracy.rows] == ["quantised model" if quantized else "FP32", "INT8"]
