"""From the graph through TVM to numbers: operators left to TVM's importer, between our kernels."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.schedules.target import parse_target

ROOT = Path(__file__).resolve().parents[3]

PADDED = {"pads": [1, 1, 1, 1]}
Random = Callable[..., np.ndarray]


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def masks(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Cast", "i", "f", {"to": onnx.TensorProto.FLOAT}),
            ("Equal", "i j", "e"),
            ("Not", "e", "n"),
            ("Greater", "x zero", "g"),
            ("And", "n g", "a"),
            ("Where", "a x f", "y"),
            ("Cast", "a", "z", {"to": onnx.TensorProto.INT32}),
            ("ReduceSum", "i axes", "s"),
            ("Add", "i j", "t"),
        ],
        "inputs": {"x": (3, 7), "i": ("int64", 3, 7), "j": ("int64", 7)},
        "outputs": "y z s t e",
        "constants": {"zero": np.float32(0), "axes": whole(1)},
    }


def pieces(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Split", "x sizes", "a b c", {"axis": 1}),
            ("Transpose", "a", "t", {"perm": [0, 1, 3, 2]}),
            ("Slice", "b starts ends axes steps", "s"),
            ("Gather", "c rows", "g", {"axis": 2}),
            ("MatMul", "t a", "m"),
            ("Conv", "b k", "d", PADDED),
            ("Add", "d b", "y"),
        ],
        "inputs": {"x": (1, 15, 6, 6)},
        "outputs": "s g m y",
        "constants": {
            "sizes": whole(3, 8, 4),
            "starts": whole(5, -1),
            "ends": whole(0, 0),
            "axes": whole(2, 3),
            "steps": whole(-2, -3),
            "rows": np.array([[0, 5], [2, -1]]),
            "k": w(8, 8, 3, 3),
        },
    }


def normalizations(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "c"),
            ("InstanceNormalization", "c gain shift", "i"),
            ("LRN", "c", "l", {"size": 11}),
            ("LayerNormalization", "c rows columns", "n", {"axis": -1}),
            ("Sum", "i l n", "y"),
        ],
        "inputs": {"x": (2, 3, 6, 5)},
        "opset": 21,
        "constants": {"a": w(12, 3, 1, 1), "gain": w(12), "shift": w(12), "rows": w(5), "columns": w(5)},
    }


def choices(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("ArgMax", "x", "a", {"axis": 1, "keepdims": 0}),
            ("TopK", "x k", "v i"),
            ("TopK", "x k", "unread j", {"largest": 0}),
            ("CumSum", "x axis", "c"),
            ("OneHot", "a depth values", "o"),
            ("ReduceL2", "x", "n"),
        ],
        "inputs": {"x": (4, 9)},
        "outputs": "a v i j c o n",
        "constants": {"k": whole(3), "axis": np.int64(1), "depth": np.int64(9), "values": np.array([0, 1], np.float32)},
    }


def paddings(w: Random) -> dict[str, Any]:
    pads = {"round": whole(0, 0, 2, 1, 0, 0, 1, 2), "front": whole(0, 1, 0, 0, 0, 0, 0, 0)}
    return {
        "nodes": [
            ("Pad", "x round", "r", {"mode": "reflect"}),
            ("Conv", "r a", "c"),
            ("Pad", "x round", "z"),
            ("Conv", "z a", "d"),
            ("Add", "c d", "s"),
            ("Pad", "s front two", "p"),
            ("Pad", "p round", "y", {"mode": "edge"}),
        ],
        "inputs": {"x": (1, 3, 7, 8)},
        "constants": {"a": w(6, 3, 3, 3), "two": np.float32(2), **pads},
    }


def scalars(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("ReduceMean", "x", "m", {"keepdims": 0}),
            ("Mul", "m s", "a"),
            ("Add", "a one", "b"),
            ("Relu", "s", "r"),
            ("Sub", "x b", "y"),
            ("Conv", "y k", "c"),
            ("Mul", "c r", "d"),
            ("Exp", "one_", "e"),
        ],
        "inputs": {"x": (1, 2, 4, 4), "s": (), "one_": (1,)},
        "outputs": "b d r e m",
        "constants": {"one": np.float32(1), "k": w(5, 2, 3, 3)},
    }


def outputs_everywhere(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Conv", "x a", "c", PADDED),
            ("Relu", "c", "r"),
            ("Conv", "r a", "d", PADDED),
            ("Add", "d r", "e"),
            ("Identity", "x", "same"),
            ("Identity", "k", "constant"),
            ("Flatten", "e", "f"),
        ],
        "inputs": {"x": (1, 9, 5, 5), "unused": (3,)},
        "outputs": "r d e same constant f",
        "constants": {"a": w(9, 9, 3, 3), "k": w(2, 2)},
    }


def sound_and_volumes(w: Random) -> dict[str, Any]:
    norm = {"scale": w(6), "bias": w(6), "mean": w(6), "variance": np.abs(w(6)) + 0.5}
    return {
        "nodes": [
            ("Conv", "x a", "c", {"pads": [1, 1], "group": 2}),
            ("BatchNormalization", "c scale bias mean variance", "n"),
            ("Relu", "n", "y"),
            ("Conv", "v b", "z", {"strides": [2, 1, 1]}),
            ("MaxPool", "v", "m", {"kernel_shape": [2, 2, 2]}),
            ("ConvTranspose", "x t", "u", {"strides": [2]}),
        ],
        "inputs": {"x": (2, 4, 9), "v": (1, 2, 4, 5, 5)},
        "outputs": "y z m u",
        "constants": {"a": w(6, 2, 3), "b": w(3, 2, 2, 2, 2), "t": w(4, 3, 3), **norm},
    }


def computed_weights(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Reshape", "k shape", "r"),
            ("Conv", "x r b", "c"),
            ("MatMul", "p q", "m"),
            ("Gemm", "p q z", "g"),
            ("MatMul", "v q", "n"),
            ("Clip", "x low high", "y"),
            ("Einsum", "p q", "e", {"equation": "ij,jk->ki"}),
        ],
        "inputs": {
            "x": (1, 2, 5, 5),
            "k": (36,),
            "b": (2,),
            "p": (4, 6),
            "q": (6, 5),
            "z": (4, 1),
            "v": (6,),
            "low": (),
            "high": (),
        },
        "outputs": "c m g n y e",
        "constants": {"shape": whole(2, 2, 3, 3)},
    }


def other_dtypes(w: Random) -> dict[str, Any]:
    half = {"k": w(4, 3, 3, 3).astype(np.float16)}
    return {
        "nodes": [
            ("Conv", "h k", "c", PADDED),
            ("Relu", "c", "r"),
            ("Cast", "r", "f", {"to": onnx.TensorProto.FLOAT}),
            ("Add", "d d", "e"),
            ("Sqrt", "e", "y"),
            ("Mul", "i i", "j"),
            ("Mod", "j seven", "z"),
            ("BitShift", "u three", "b", {"direction": "LEFT"}),
        ],
        "inputs": {"h": ("float16", 1, 3, 5, 5), "d": ("float64", 3), "i": ("int32", 4), "u": ("uint8", 4)},
        "outputs": "f z b e",
        "constants": {**half, "seven": np.int32(7), "three": np.uint8(3)},
    }


def repeats(w: Random) -> dict[str, Any]:
    return {
        "nodes": [
            ("Tile", "x counts", "t"),
            ("Expand", "s shape", "e"),
            ("Concat", "t e", "c", {"axis": 2}),
            ("GatherElements", "x places", "g", {"axis": 2}),
            ("ScatterElements", "x places s2", "z", {"axis": 2}),
            ("SpaceToDepth", "t", "y", {"blocksize": 2}),
            ("Reshape", "c flat", "f"),
            ("LogSoftmax", "f", "l"),
        ],
        "inputs": {"x": (1, 2, 3, 4), "s": (1, 2, 1, 1)},
        "outputs": "g z y l",
        "constants": {
            "counts": whole(1, 1, 2, 3),
            "shape": whole(1, 2, 5, 12),
            "places": np.array([[[[0, 2, 1, 1]], [[2, 0, 0, 1]]]]),
            "s2": w(1, 2, 1, 4),
            "flat": whole(2, -1),
        },
    }


def functions(w: Random) -> dict[str, Any]:
    unary = (
        "Erf",
        "Tanh",
        "Softplus",
        "Elu",
        "Mish",
        "Selu",
        "Softsign",
        "Round",
        "Sign",
        "Cos",
        "Ceil",
        "ThresholdedRelu",
    )
    return {
        "nodes": [("Conv", "x a", "c"), *((name, "c", f"y{i}") for i, name in enumerate(unary))],
        "inputs": {"x": (1, 3, 4, 5)},
        "outputs": " ".join(f"y{i}" for i in range(len(unary))),
        "constants": {"a": w(5, 3, 1, 1)},
    }


MODELS = {
    model.__name__: model
    for model in (
        masks,
        pieces,
        normalizations,
        choices,
        paddings,
        scalars,
        outputs_everywhere,
        sound_and_volumes,
        computed_weights,
        other_dtypes,
        repeats,
        functions,
    )
}


@pytest.fixture
def model_of(weights: Random, model_from: Any) -> Callable[[str], Any]:
    """The model of this name from this file, imported."""
    return lambda name: model_from(MODELS[name](weights))


@pytest.mark.parametrize("name", MODELS)
def test_computes_what_onnxruntime_does(model_of: Any, check_whole: Any, name: str) -> None:
    check_whole(model_of(name), parse_target("llvm", 2))


def test_sorting_runs_without_the_compiler(model_of: Any, tmp_path: Path) -> None:
    """TVM keeps sorting separate from the rest of its runtime."""
    artifact = tmp_path / "choices.tar"
    compile_model(model_of("choices"), parse_target("llvm", 1), None, artifact)
    code = f"""
import sys, numpy
from pathlib import Path
from tvmopt.pipeline.artifact.loaded import load_artifact
model = load_artifact(Path({str(artifact)!r}))
for name, array in model.run(model.golden_inputs).items():
    numpy.testing.assert_allclose(array, model.golden_outputs[name], rtol=1e-5, atol=1e-6)
assert "tvm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
