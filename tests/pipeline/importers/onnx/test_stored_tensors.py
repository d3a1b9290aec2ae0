"""Where ONNX files store their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.onnx.stored_tensors import stored_tensors

Parse = Callable[..., onnx.ModelProto]

GRAPH = """two (float[2,3] x) => (float[2,5] y) {
    a = MatMul (x, first)
    b = Constant <value = float[1] {1.5}> ()
    c = Add (a, b)
    y = MatMul (c, second)
}"""


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"first": (3, 4), "second": (4, 5), "half": (700,), "empty": (0, 3)}
    made = {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    return {**made, "half": made["half"].astype(np.float16)}


def contents(path: Path) -> list[bytes]:
    stored = stored_tensors(path)
    files = [file.read_bytes() for file in stored.files]
    return [files[one.file][one.offset : one.offset + one.nbytes] for one in stored.tensors]


def test_spans_hold_the_weights(parse: Parse, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    model = parse(GRAPH, **arrays)
    typed = model.graph.initializer.add(name="typed", dims=[2], data_type=onnx.TensorProto.FLOAT)
    typed.float_data.extend([1.0, 2.0])
    model.graph.doc_string = "graph"
    onnx.save(model, tmp_path / "m.onnx")
    assert stored_tensors(tmp_path / "m.onnx").files == (tmp_path / "m.onnx",)
    assert contents(tmp_path / "m.onnx") == [array.tobytes() for array in arrays.values()]


def test_weights_in_other_files(parse: Parse, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    model = parse(GRAPH, **arrays)
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=0)
    assert stored_tensors(tmp_path / "m.onnx").files == (tmp_path / "m.onnx", tmp_path / "m.data")
    assert set(contents(tmp_path / "m.onnx")) == {array.tobytes() for array in arrays.values()}


def test_constants_in_other_files(parse: Parse, arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    """The model follows from these files, too, although their tensors are no initialisers."""
    model = parse(GRAPH, **arrays)
    onnx.save(
        model,
        tmp_path / "m.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=False,
        size_threshold=0,
        convert_attribute=True,
    )
    files = {path.name for path in stored_tensors(tmp_path / "m.onnx").files}
    assert files == {path.name for path in tmp_path.iterdir()}
    assert len(files) > len(arrays)  # one for each of them, and one for the constant


@pytest.mark.parametrize("content", [b"\x0b", b"\x3a\x05ab", b"\xff" * 20, b"no model at all", b"\x3a\x02\x2a\x05"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ValueError, match="field|number|not an ONNX"):
        stored_tensors(tmp_path / "m.onnx")


def test_empty_files(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match="empty"):
        stored_tensors(tmp_path / "m.onnx")


def test_weights_outside_of_the_folder(parse: Parse, tmp_path: Path) -> None:
    model = parse("g (float[3] x) => (float[3] y) { y = Add (x, w) }", w=np.ones(3, np.float32))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../w.bin")
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(InputFileError, match="must lie in the model's folder"):
        stored_tensors(tmp_path / "m.onnx")


def test_the_initialisers_of_two_parts_of_a_graph(parse: Parse, tmp_path: Path) -> None:
    """In protobuf's format, a message may come in parts."""
    first, second = (parse("g (float[3] x) => (float[3] y) { y = Relu (x) }") for _ in range(2))
    arrays = [np.arange(3, dtype=np.float32), np.ones((2, 2), np.float64)]
    second.Clear()
    for model, array in zip((first, second), arrays, strict=True):
        model.graph.initializer.append(numpy_helper.from_array(array, str(array.dtype)))
    (tmp_path / "m.onnx").write_bytes(first.SerializeToString() + second.SerializeToString())
    assert contents(tmp_path / "m.onnx") == [array.tobytes() for array in arrays]
