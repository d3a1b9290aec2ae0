"""Evaluations of a tiny network whose accuracy is known: rows, kept judgements, corrupt pictures, what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.onnx_models import make_model
from tests.pipeline.data import labelled_files as labelled
from tvmopt.benchmarks.accuracy import entrant
from tvmopt.benchmarks.accuracy.evaluate import run_evaluation
from tvmopt.benchmarks.accuracy.judgements import Judgements, keep, recall
from tvmopt.benchmarks.accuracy.options import EvaluateOptions
from tvmopt.benchmarks.measurements.accuracy import Accuracy
from tvmopt.benchmarks.measurements.options import DataOptions
from tvmopt.benchmarks.report.accuracy import absent_rows, accuracy_heads, accuracy_lines, accuracy_notes
from tvmopt.benchmarks.runtimes.registry import find_runtime
from tvmopt.pipeline.errors import CancelledError, InputFileError, ModelInputError, UsageError
from tvmopt.pipeline.support.cache import Cache
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan

pytestmark = pytest.mark.slow  # a process for each runtime


def save_model(path: Path, batch: int = 1, classes: int = 3) -> Path:
    """Scores of a picture: the mean of each channel, so that the brightest channel is the class; further classes 0."""
    weights = np.eye(3, classes, dtype=np.float32)
    model = make_model(
        ("GlobalAveragePool", "x", "means"),
        ("Flatten", "means", "flat"),
        ("MatMul", "flat weights", "y"),
        inputs={"x": (batch, 3, 8, 8)},
        outputs="y",
        weights=weights,
    )
    onnx.save(model, path)
    return path


@pytest.fixture
def options(tmp_path: Path) -> EvaluateOptions:
    """Nine pictures of three classes, of which one is in the wrong folder, in batches of four."""
    folder = labelled.save_folders(tmp_path / "set")
    labelled.save_plain(folder / "2" / "0.png", (250, 0, 0))
    model = save_model(tmp_path / "net.onnx", 4)
    return EvaluateOptions(
        str(model), DataOptions(folder, preprocess="0..1"), ("onnxruntime", "pytorch"), results=tmp_path / "kept"
    )


def test_rows(options: EvaluateOptions) -> None:
    evaluation = run_evaluation(options)
    accuracy = evaluation.accuracy
    assert evaluation.complete
    assert [(row.runtime, row.status, row.samples) for row in accuracy.rows] == [
        ("pytorch", "not_applicable", 0),
        ("onnxruntime", "ok", 9),
    ]
    (value,) = accuracy.rows[1].values
    assert (value.name, value.value) == ("top-1", 8 / 9)
    assert value.low < 8 / 9 < value.high
    assert accuracy.rows[1].difference is None
    assert accuracy.reference == "ONNX Runtime"
    assert Accuracy.from_json(accuracy.to_json()) == accuracy
    assert accuracy_heads(accuracy) == (
        "runtime",
        "top-1 %",
        "95 % interval",
        "over ONNX Runtime",
        "95 % interval",
        "samples",
    )
    assert next(iter(accuracy_lines(accuracy)))[0][:2] == ("ONNX Runtime", "88.89")
    assert absent_rows(accuracy) == ["PyTorch: not applicable: the model is an ONNX file"]
    assert "Pictures were prepared as 0..1." in accuracy_notes(accuracy)


def test_the_reference_is_the_framework_wherever_its_row_stands(
    options: EvaluateOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    framework = (find_runtime("openvino"), find_runtime("onnxruntime"))
    monkeypatch.setattr("tvmopt.benchmarks.accuracy.evaluate.reference_runtimes", lambda _kind: framework)
    accuracy = run_evaluation(replace(options, runtimes=("onnxruntime", "openvino"))).accuracy
    assert [row.runtime for row in accuracy.rows] == ["onnxruntime", "openvino"]
    assert accuracy.reference == "OpenVINO"
    assert [row.difference is None for row in accuracy.rows] == [False, True]
    alone = run_evaluation(replace(options, runtimes=("onnxruntime",))).accuracy
    assert [row.runtime for row in alone.rows] == ["openvino", "onnxruntime"]  # nothing stands without its reference


def test_another_model_and_its_paired_difference(options: EvaluateOptions, tmp_path: Path) -> None:
    wrong = make_model(
        ("GlobalMaxPool", "x", "means"),
        ("Flatten", "means", "flat"),
        ("Neg", "flat", "y"),
        inputs={"x": (1, 3, 8, 8)},
        outputs="y",
    )
    onnx.save(wrong, tmp_path / "wrong.onnx")
    accuracy = run_evaluation(replace(options, against=str(tmp_path / "wrong.onnx"))).accuracy
    rows = {row.runtime: row for row in accuracy.rows}
    assert rows["against"].title == accuracy.reference == "wrong in ONNX Runtime"
    assert rows["against"].values[0].value == 0
    difference = rows["onnxruntime"].difference
    assert difference is not None
    assert difference.value == 8 / 9
    assert difference.low > 0
    assert rows["onnxruntime"].chance == pytest.approx(2**-7)
    cells, loses = list(accuracy_lines(accuracy))[1]
    assert (cells[3], cells[5]) == ("+88.89", "0.008")
    assert len(cells) == len(accuracy_heads(accuracy))
    assert not loses


def test_corrupt_pictures_are_left_out_and_counted(options: EvaluateOptions) -> None:
    (options.data.path / "1" / "1.png").write_bytes(b"nothing")
    accuracy = run_evaluation(options).accuracy
    assert (accuracy.samples, accuracy.skipped, accuracy.rows[1].samples) == (9, 1, 8)
    assert accuracy.rows[1].values[0].value == 7 / 8
    assert accuracy.notes[-1].startswith(
        "1 of 9 samples cannot be read and were left out, such as 1.png: not a picture"
    )
    for path in options.data.path.rglob("*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(InputFileError, match="none of 9 samples can be read"):
        run_evaluation(options)


class Stop(Listener):
    """Asks for a stop at the beginning of a step, and counts the steps with samples."""

    def __init__(self, at: str = "") -> None:
        super().__init__()
        self.at = at
        self.chunks: list[str] = []

    def tell(self, event: Event) -> None:
        if isinstance(event, StepBegan) and event.text.startswith("samples"):
            self.chunks.append(event.text)
            if event.text == self.at:
                self.cancel()


def test_a_stopped_run_goes_on_where_it_was(options: EvaluateOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvmopt.benchmarks.accuracy.evaluate._CHUNK_SAMPLES", 4)
    stopped = run_evaluation(options, Stop("samples 5 to 8 of 9"))
    assert not stopped.complete
    assert stopped.accuracy.rows[1].samples == 4
    second = Stop()
    whole = run_evaluation(options, second)
    assert second.chunks == ["samples 5 to 8 of 9", "samples 9 to 9 of 9"]
    assert whole.accuracy.rows[1].values[0].value == 8 / 9

    def refuse(*_: object) -> None:
        raise AssertionError("no runtime is needed")

    monkeypatch.setattr(entrant.Entrant, "start", refuse)
    assert run_evaluation(options).accuracy == whole.accuracy
    with pytest.raises(AssertionError, match="no runtime is needed"):
        run_evaluation(replace(options, fresh=True))
    labelled.save_plain(options.data.path / "2" / "0.png", (250, 0, 1))
    with pytest.raises(AssertionError, match="no runtime is needed"):
        run_evaluation(options)  # the set is another now


def test_a_run_that_is_stopped_before_anything(options: EvaluateOptions) -> None:
    with pytest.raises(CancelledError):
        run_evaluation(options, Stop("samples 1 to 9 of 9"))


def test_judgements_are_kept_as_they_are(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    tables = {5: np.array([[1.5, np.inf, -2]]), 7: np.zeros((0, 3)), 9: np.arange(6.0).reshape(2, 3)}
    keep(cache, "ab" * 32, Judgements(tables, {6: "why: ü"}))
    found = recall(cache, "ab" * 32)
    assert found is not None
    assert list(found.tables) == [5, 7, 9]
    assert all(np.array_equal(found.tables[place], table) for place, table in tables.items())
    assert found.skipped == {6: "why: ü"}
    keep(cache, "cd" * 32, Judgements({}, {}))
    assert recall(cache, "cd" * 32) == Judgements({}, {})
    assert recall(cache, "ef" * 32) is None


def test_what_does_not_fit(options: EvaluateOptions, tmp_path: Path) -> None:
    labelled.save_folders(tmp_path / "many", ("0", "7"))
    with pytest.raises(ModelInputError, match=r"labels do not fit the model: they go up to 7, but its output y has 3"):
        run_evaluation(replace(options, data=DataOptions(tmp_path / "many")))
    np.savez(tmp_path / "set.npz", x=np.zeros((4, 5), np.float32), y=np.arange(4) % 2)
    with pytest.raises(ModelInputError, match=r"samples have shape \(5,\), which does not fit"):
        run_evaluation(replace(options, data=DataOptions(tmp_path / "set.npz")))
    with pytest.raises(UsageError, match="an artifact runs in tvmopt alone"):
        run_evaluation(replace(options, model="net.tar"))
    two = make_model(("Add", "a b", "y"), inputs={"a": (1, 3), "b": (1, 3)}, outputs="y")
    onnx.save(two, tmp_path / "two.onnx")
    with pytest.raises(ModelInputError, match=r"models with one input, the batch first; this one has a \(1, 3\), b"):
        run_evaluation(replace(options, model=str(tmp_path / "two.onnx")))
