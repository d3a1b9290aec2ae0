"""Networks are quantised once, and how many bits their weights use is told from their files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tvmopt.benchmarks.quantized import weight_range
from tvmopt.benchmarks.quantized.quantize_once import Feed, Quantizer, quantize_once
from tvmopt.benchmarks.quantized.weight_range import bits_of, in_words
from tvmopt.pipeline.support.npz import save_arrays


@pytest.fixture(name="files")
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A model and its calibration, with an empty cache."""
    monkeypatch.setenv("TVMOPT_CACHE", str(tmp_path / "cache"))
    model, calibration = tmp_path / "net.onnx", tmp_path / "calibration.npz"
    model.write_bytes(b"a network")
    save_arrays(calibration, {"x": np.arange(6, dtype=np.float32).reshape(3, 2)})
    return model, calibration


def test_equal_files_are_quantised_once(files: tuple[Path, Path], tmp_path: Path) -> None:
    calls = []

    def quantize(model: Path, feeds: Sequence[Feed], path: Path) -> None:
        calls.append([feed["x"].tolist() for feed in feeds])
        path.write_bytes(model.read_bytes() + f", {len(calls)}".encode())

    quantizer = Quantizer("fake", ("numpy",), ("8 bits",), quantize)
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    quantize_once(quantizer, *files, first)
    quantize_once(quantizer, *files, second)
    assert first.read_bytes() == second.read_bytes() == b"a network, 1"
    assert calls == [[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]]
    quantize_once(replace(quantizer, settings=("7 bits",)), *files, third)
    assert third.read_bytes() == b"a network, 2"
    files[0].with_name("net.onnx.data").write_bytes(b"weights apart")
    quantize_once(quantizer, *files, third)
    assert third.read_bytes() == b"a network, 3"


def test_a_quantiser_that_fails_leaves_no_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    def quantize(_: Path, __: Sequence[Feed], path: Path) -> None:
        path.write_bytes(b"half")
        raise ValueError("no such layer")

    wanted = tmp_path / "wanted"
    for _ in range(2):
        with pytest.raises(ValueError, match="no such layer"):
            quantize_once(Quantizer("fake", (), (), quantize), *files, wanted)
        assert not wanted.exists()


def save_qdq(path: Path, weights: np.ndarray, group: int = 1) -> Path:
    """A convolution whose weights are dequantised."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["weights"]),
        helper.make_node("Conv", ["x", "weights"], ["y"], group=group),
    ]
    constants = {"w": weights, "scale": np.float32(0.1), "zero": np.array(0, weights.dtype)}
    if weights.dtype == np.uint8:
        constants["zero"] = np.array(128, np.uint8)
    channels = weights.shape[1] * group
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, channels, 5, 5))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


@pytest.mark.parametrize(
    ("integers", "bits"),
    [(np.int8([-64, 64]), 7), (np.int8([-65, 3]), 8), (np.uint8([64, 192]), 7), (np.uint8([63, 192]), 8)],
)
def test_bits_of_weights(integers: np.ndarray, bits: int, tmp_path: Path) -> None:
    assert bits_of(save_qdq(tmp_path / "net.onnx", integers.reshape(1, 2, 1, 1))) == bits


def test_depthwise_weights_may_have_eight_bits(tmp_path: Path) -> None:
    assert bits_of(save_qdq(tmp_path / "net.onnx", np.int8([-127, 127]).reshape(2, 1, 1, 1), group=2)) == 7


def test_only_eight_bits_without_vnni_saturate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weight_range, "has_int8_dot_product", lambda: False)
    assert "saturates" in in_words(8)
    assert "saturates" not in in_words(7)
    monkeypatch.setattr(weight_range, "has_int8_dot_product", lambda: True)
    assert in_words(8) == {"weights": "int8 per channel, 8 bits used"}


def test_attention_is_quantised_as_a_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    nncf = pytest.importorskip("nncf")
    from tvmopt.benchmarks.quantized.nncf import quantize

    monkeypatch.setattr(nncf, "quantize", lambda *_, **given: given["model_type"])
    assert quantize(None, [{}], 8, True) == nncf.ModelType.TRANSFORMER
    assert quantize(None, [{}], 8, False) is None
