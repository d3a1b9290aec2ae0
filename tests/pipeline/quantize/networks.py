"""Small networks of floats to quantise."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import onnx

from tests.onnx_models import make_model
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.types import ImportedModel


def classifier(size: int = 12, classes: int = 5, batch: int = 1) -> onnx.ModelProto:
    """Pictures to classes: a convolution with BatchNorm, a depthwise one, a residual, pooling, a dense layer."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))

    return make_model(
        ("Conv", "x w1 b1", "a", {"pads": [1] * 4}),
        ("BatchNormalization", "a gamma beta mean variance", "n"),
        ("Relu", "n", "r"),
        ("Conv", "r w2 b2", "d", {"pads": [1] * 4, "group": 8}),
        ("Relu", "d", "dr"),
        ("Conv", "dr w3 b3", "c"),
        ("Add", "c r", "s"),
        ("MaxPool", "s", "m", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Flatten", "m", "f"),
        ("Gemm", "f w4 b4", "y", {"transB": 1}),
        inputs={"x": (batch, 3, size, size)},
        outputs="y",
        w1=normal(8, 3, 3, 3),
        b1=normal(8),
        gamma=np.abs(normal(8)) + 1,
        beta=normal(8),
        mean=normal(8),
        variance=np.abs(normal(8)) + 1,
        w2=normal(8, 1, 3, 3),
        b2=normal(8),
        w3=normal(8, 8, 1, 1),
        b3=normal(8),
        w4=normal(classes, 8 * (size // 2) ** 2),
        b4=normal(classes),
    )


def imported(model: onnx.ModelProto) -> ImportedModel:
    """`model`, imported from a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.save(model, path)
        return load_model(str(path))


@functools.cache
def imported_classifier() -> ImportedModel:
    """The classifier; nobody may change it."""
    return imported(classifier())


def feeds(model: ImportedModel, count: int = 6) -> list[dict[str, np.ndarray]]:
    """Random inputs."""
    random = np.random.default_rng(1)
    return [
        {spec.name: random.standard_normal(spec.shape).astype(spec.dtype) for spec in model.inputs}
        for _ in range(count)
    ]
