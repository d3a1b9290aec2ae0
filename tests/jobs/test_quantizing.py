"""Quantising as a job: accuracy kept within a drop, layers taken back, data of several kinds, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from tests.onnx_models import make_model
from tests.pipeline.quantize.networks import classifier
from tvmopt.jobs.quantizing import QuantizeJob, QuantizeResult, quantize
from tvmopt.pipeline.errors import InputFileError, ModelInputError, TvmoptError, UsageError, WrongResultError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.quantize.layers import TAKEN_BACK
from tvmopt.pipeline.support.onnxruntime import run_model

pytest.importorskip("nncf")

SAMPLES = 60


def sensitive() -> onnx.ModelProto:
    """A network whose second product reads values near 3 beside one of 1000: one scale for all leaves nothing."""
    eye = np.eye(4, dtype=np.float32)
    return make_model(
        ("Gemm", "x w1 b1", "a"),
        ("Relu", "a", "r"),
        ("Gemm", "r w2", "y"),
        inputs={"x": (1, 4)},
        outputs="y",
        w1=eye * np.array([1, 1, 1, 0], np.float32) + np.float32(1e-3),
        b1=np.array([3, 3, 3, 1000], np.float32),
        w2=eye[:, :3] + np.float32(1e-3),
    )


@pytest.fixture(name="rows")
def _rows(tmp_path: Path) -> Path:
    """Rows whose class is the largest of their first three elements."""
    rows = np.random.default_rng(0).uniform(-2, 2, (SAMPLES, 4)).astype(np.float32)
    path = tmp_path / "rows.npz"
    np.savez(path, images=rows, labels=rows[:, :3].argmax(axis=1))
    onnx.save(sensitive(), tmp_path / "net.onnx")
    return path


def job(rows: Path, **options: object) -> QuantizeJob:
    made = QuantizeJob(str(rows.parent / "net.onnx"), rows.parent / "out.onnx", rows, weight_bits=8)
    return replace(made, **options)  # type: ignore[arg-type]


def kept(result: QuantizeResult) -> dict[str, str]:
    return {layer.layer: layer.in_float for layer in result.quantized.layers if not layer.is_quantized}


def share_right(model: onnx.ModelProto, rows: Path) -> float:
    arrays = np.load(rows)
    right = [
        int(run_model(model, {"x": row[None]})["y"].argmax()) == label
        for row, label in zip(arrays["images"], arrays["labels"], strict=True)
    ]
    return sum(right) / len(right)


def test_layers_go_back_until_accuracy_is_within_the_drop(rows: Path) -> None:
    plain = quantize(job(rows)).quantized
    assert plain.accuracy is not None
    assert plain.accuracy.difference.value < -0.2
    assert plain.accuracy.all_quantized is None
    result = quantize(job(rows, max_drop=0.02))
    assert kept(result) == {"Gemm2": TAKEN_BACK}
    accuracy = result.quantized.accuracy
    assert accuracy is not None
    before, after = (next(iter(scores.values())) for scores in (accuracy.before, accuracy.after))
    assert after.value >= before.value - 0.02
    assert accuracy.all_quantized is not None
    assert accuracy.all_quantized.value == pytest.approx(next(iter(plain.accuracy.after.values())).value)
    assert before.value == pytest.approx(share_right(sensitive(), rows))
    assert after.value == pytest.approx(share_right(onnx.load(rows.parent / "out.onnx"), rows))
    assert accuracy.difference.value == pytest.approx(after.value - before.value)
    assert before.interval == pytest.approx((0.9398, 1.0), abs=1e-3), "by Wilson, of 60 of 60"
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert document["layers"][1]["in_float"] == TAKEN_BACK
    assert document["accuracy"]["samples"] == SAMPLES
    first, second = result.quantized.layers
    assert first.alone is not None
    assert (second.alone, second.whole) == (None, None)


def test_where_no_layer_can_be_quantised_nothing_is_written(rows: Path) -> None:
    only = make_model(
        ("Mul", "x large", "s"),
        ("Gemm", "s w", "y"),
        inputs={"x": (1, 4)},
        outputs="y",
        large=np.array([1, 1, 1, 1000], np.float32),
        w=np.eye(4, 3, dtype=np.float32) + np.float32(1e-7),
    )
    onnx.save(only, rows.parent / "net.onnx")
    with pytest.raises(WrongResultError, match="unless all 1 layers stay in float"):
        quantize(job(rows, max_drop=0.02))
    assert not (rows.parent / "out.onnx").exists()


def test_some_samples_and_another_metric(rows: Path) -> None:
    (rows.parent / "metric.py").write_text(
        "def right(outputs, labels):\n    return float((outputs.argmax(1) == labels).mean())\n"
    )
    own = f"{rows.parent / 'metric.py'}:right"
    result = quantize(job(rows, metric=own, validation_samples=20, samples=10)).quantized
    assert result.accuracy is not None
    assert (result.accuracy.samples, result.accuracy.metric) == (20, "right")
    assert list(result.accuracy.before) == ["right"]


@pytest.mark.parametrize("body", ["return float('nan')", "raise KeyError('gone')"])
def test_a_metric_that_fails(rows: Path, body: str) -> None:
    (rows.parent / "metric.py").write_text(f"def bad(outputs, labels):\n    {body}\n")
    for drop in (None, 0.01):
        with pytest.raises(InputFileError, match=r"--metric .*metric\.py:bad: (returned nan|bad\(\) raised KeyError)"):
            quantize(job(rows, metric=f"{rows.parent / 'metric.py'}:bad", max_drop=drop))
    assert not (rows.parent / "out.onnx").exists()


def test_pictures_with_labels(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("0", "1", "2"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(random.integers(0, 256, (16, 12, 3), dtype=np.uint8)).save(
                tmp_path / "set" / name / f"{number}.png"
            )
    (tmp_path / "set" / "1" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    onnx.save(classifier(), tmp_path / "net.onnx")
    made = QuantizeJob(str(tmp_path / "net.onnx"), tmp_path / "out.onnx", tmp_path / "set", samples=100)
    result = quantize(made)
    found = result.quantized
    assert found.accuracy is not None
    assert (found.accuracy.samples, found.accuracy.skipped, found.skipped) == (12, 1, 1)
    assert result.preprocessing is not None
    assert result.preprocessing[0] == "imagenet"
    assert load_model(str(tmp_path / "out.onnx")).sha256 == found.model.sha256


def test_without_labels_accuracy_is_not_measured(rows: Path) -> None:
    arrays = np.load(rows)
    np.savez(rows.parent / "plain.npz", x=arrays["images"])
    result = quantize(job(rows, data=rows.parent / "plain.npz"))
    assert result.quantized.accuracy is None
    assert result.notes == ("accuracy was not measured: the data have no labels",)
    np.savez(rows.parent / "many.npz", images=arrays["images"], labels=np.arange(SAMPLES))
    result = quantize(job(rows, data=rows.parent / "many.npz"))
    assert result.quantized.accuracy is None
    assert "labels do not fit the model: they go up to 59" in result.notes[0]


def test_what_is_refused(rows: Path) -> None:
    arrays = np.load(rows)
    np.savez(rows.parent / "plain.npz", x=arrays["images"])
    np.savez(rows.parent / "many.npz", images=arrays["images"], labels=np.arange(SAMPLES))
    np.savez(rows.parent / "one.npz", images=arrays["images"], labels=np.zeros(SAMPLES, int))
    cases: list[tuple[dict[str, object], type[TvmoptError], str]] = [
        ({"data": None}, UsageError, "the model takes no pictures"),
        ({"data": None, "max_drop": 0.01}, UsageError, "only on samples with labels: give --data a labelled set"),
        ({"data": rows.parent / "plain.npz", "max_drop": 0.01}, UsageError, "labels, which .*plain.npz does not have"),
        ({"data": rows.parent / "many.npz", "max_drop": 0.01}, ModelInputError, "labels do not fit the model"),
        ({"data": rows.parent / "one.npz"}, InputFileError, "all 60 samples are of one class"),
        ({"metric": "miou"}, UsageError, "miou needs masks"),
        ({"metric": "tops"}, UsageError, "unknown metric 'tops'; did you mean top"),
        ({"max_drop": -0.1}, UsageError, "the drop must be from 0 to below 1, got -0.1"),
        ({"max_drop": float("nan")}, UsageError, "the drop must be from 0 to below 1, got nan"),
        ({"weight_bits": 4}, UsageError, "weights can have 7 or 8 bits, got 4"),
        ({"target": "arm46"}, UsageError, "unknown target 'arm46'"),
        ({"preprocess": "imagenet"}, UsageError, "--preprocess imagenet is for pictures"),
    ]
    for options, kind, says in cases:
        with pytest.raises(kind, match=says):
            quantize(job(rows, **options))
    assert not (rows.parent / "out.onnx").exists()


def test_samples_that_serve_twice_are_noted(rows: Path) -> None:
    note = "accuracy is measured on 60 samples, and 10 of them are among those that ranges are from"
    assert note in quantize(job(rows, samples=10)).notes
