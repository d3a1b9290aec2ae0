"""How the inputs of an artifact, and of a model beside another, are prepared."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tvmopt.benchmarks.accuracy.subject import require_equal_preparation, source_kind
from tvmopt.pipeline.data.metrics.metric import Signature
from tvmopt.pipeline.data.preprocessing import Preprocessing
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.types import TensorSpec


def subject(name: str, preset: str, dtype: str = "float32") -> Any:
    preprocessing = Preprocessing(preset, f"{name} needs it", (3, 8, 8), lambda sample: sample)
    signature = Signature(TensorSpec("x", (1, 3, 8, 8), dtype), ())
    return SimpleNamespace(name=name, preprocessing=preprocessing, signature=signature)


def test_models_that_are_compared_get_equal_inputs() -> None:
    ours, keras = subject("q", "imagenet"), subject("net", "-1..1")
    with pytest.raises(
        UsageError, match=r"for q .* as imagenet \(q needs it\), for net as -1\.\.1 .* give --preprocess"
    ):
        require_equal_preparation(ours, keras, None)
    require_equal_preparation(ours, keras, "caffe")
    require_equal_preparation(ours, ours, None)
    require_equal_preparation(subject("bytes", "0..255", "uint8"), keras, None)


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("net.keras", "keras"),
        ("net.prototxt", "caffe"),
        ("net.onnx", "onnx"),
        ("net.tflite", "tflite"),
        ("net", "artifact"),
    ],
)
def test_the_kind_of_an_artifacts_source(source: str, kind: str) -> None:
    assert source_kind({"model": {"source": source}}) == kind
