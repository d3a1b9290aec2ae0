"""Models whose weights are parked in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.support.onnxruntime import open_session, run_model
from tvmopt.pipeline.support.weights import parked
from tvmopt.pipeline.support.weights.light_model import WEIGHTS, park, serialized, weights_nbytes, without_weights
from tvmopt.pipeline.support.weights.parked import array_of, folder_of, place_of, take_in

X = {"x": np.linspace(-1, 1, 140, dtype=np.float32).reshape(2, 70)}


DESCRIPTORS = Path("/proc/self/fd")


def model() -> onnx.ModelProto:
    """Weights that stay, that are constants of others, of half and of less than a byte, and with a comment."""
    made = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]>
        two (float[2,70] x) => (float[2,30] y, float[60,70] z) <float[1] small = {0.5}> {
            a = MatMul (x, first)
            turned = Transpose <perm = [1, 0]> (second)
            b = MatMul (a, turned)
            y = Mul (b, small)
            z = Cast <to = 1> (nibbles)
        }"""
    )
    random = np.random.default_rng(0)
    first = random.standard_normal((70, 50), np.float32)
    first[3, :4] = [np.nan, np.inf, -np.inf, -0.0]
    made.graph.initializer.append(numpy_helper.from_array(first, "first"))
    made.graph.initializer.append(numpy_helper.from_array(random.standard_normal((30, 50), np.float32), "second"))
    nibbles = random.integers(-8, 8, (60, 70))
    made.graph.initializer.append(helper.make_tensor("nibbles", onnx.TensorProto.INT4, (60, 70), nibbles))
    made.graph.initializer[-1].doc_string = "a comment"
    made.graph.initializer[1].metadata_props.add(key="key", value="value")
    return made


@pytest.fixture
def light(tmp_path: Path) -> onnx.ModelProto:
    (tmp_path / "park").mkdir()
    return park(model(), tmp_path / "park")


def test_large_weights_are_on_disk(light: onnx.ModelProto, tmp_path: Path) -> None:
    assert light.ByteSize() < 5000 < model().ByteSize()
    assert folder_of(light) == tmp_path / "park"
    assert folder_of(model()) is None
    assert weights_nbytes(light) == weights_nbytes(model())
    assert [place_of(tensor) is not None for tensor in light.graph.initializer] == [False, True, True, False]


def test_values_are_those_of_the_model(light: onnx.ModelProto) -> None:
    for tensor, whole in zip(light.graph.initializer, model().graph.initializer, strict=True):
        wanted = numpy_helper.to_array(whole)
        assert array_of(tensor).dtype == wanted.dtype
        assert array_of(tensor).tobytes() == wanted.tobytes()
        assert array_of(tensor).shape == wanted.shape
    with pytest.raises(ValueError, match="read-only"):
        array_of(light.graph.initializer[1])[0, 0] = 1


def test_elements_of_less_than_a_byte(tmp_path: Path) -> None:
    whole = onnx.TensorProto(dims=(3, 3), data_type=onnx.TensorProto.INT4, raw_data=bytes([0x21, 0xF3, 0x80, 0x7F, 5]))
    (tmp_path / "x").write_bytes(b"other" + whole.raw_data)
    tensor = parked.refer(whole, str(tmp_path / "x"), 5, 5)
    np.testing.assert_array_equal(array_of(tensor), [[1, 2, 3], [-1, 0, -8], [-1, 7, 5]])


def test_a_parked_model_is_serialised_whole(light: onnx.ModelProto) -> None:
    assert b"".join(serialized(light)) == model().SerializeToString(deterministic=True)


def test_it_runs_as_before(light: onnx.ModelProto) -> None:
    wanted = run_model(model(), X)
    for name, value in run_model(light, X).items():
        np.testing.assert_array_equal(value, wanted[name])


def test_parked_again_nothing_moves(light: onnx.ModelProto, tmp_path: Path) -> None:
    assert park(light, tmp_path / "park").graph.initializer == light.graph.initializer


def test_where_links_are_impossible_files_are_copied(
    light: onnx.ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    beside = without_weights(light, tmp_path / WEIGHTS)
    onnx.save(beside, tmp_path / "model.onnx")
    found = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert [tensor.raw_data for tensor in found[1:3]] == [tensor.raw_data for tensor in model().graph.initializer[1:3]]


def test_what_a_runtime_wrote_refers_to_parked_weights(light: onnx.ModelProto, tmp_path: Path) -> None:
    """`first` stays in its file; a weight of a new one moves beside it; ONNX Runtime computes `turned`."""
    light.graph.initializer.append(numpy_helper.from_array(np.ones((70, 50), np.float32), "new"))
    light.graph.node.append(helper.make_node("MatMul", ["x", "new"], ["w"]))
    light.graph.output.append(helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, (2, 50)))
    written = tmp_path / "written"
    written.mkdir()
    open_session(light, "ORT_ENABLE_BASIC", save_to=written / "model.onnx")
    found = onnx.load(written / "model.onnx", load_external_data=False)
    take_in(found, written, tmp_path / "park")
    found = park(found, tmp_path / "park")
    for file in written.iterdir():
        file.unlink()
    places = {tensor.name: place_of(tensor) for tensor in found.graph.initializer}
    assert places["first"] == place_of(light.graph.initializer[1])
    assert places["new"] is not None
    assert places["new"].file.parent == tmp_path / "park"
    wanted = run_model(light, X)
    for name, value in run_model(found, X).items():
        np.testing.assert_allclose(value, wanted[name], rtol=1e-5, atol=1e-5)


def test_a_full_disk_is_an_error_of_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tvmopt.pipeline.support.weights.light_model.new_file", full)
    with pytest.raises(InputFileError, match="No space left on device"):
        park(model(), tmp_path)


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="the system does not list a process's open files")
def test_a_file_is_mapped_once(light: onnx.ModelProto) -> None:
    """However many tensors lie in it: a process may have only so many files open."""
    before = len(list(DESCRIPTORS.iterdir()))
    held = [array_of(tensor) for _ in range(20) for tensor in light.graph.initializer]
    assert len(list(DESCRIPTORS.iterdir())) <= before + 1
    assert held
