from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import parser

from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.importers.onnx.read_file import import_onnx, read_onnx
from tvmopt.pipeline.importers.onnx_form.tensors import MAX_BYTES
from tvmopt.pipeline.support.onnxruntime import run_model

SaveOnnx = Callable[..., str]
LINEAR = "g (float[1,4] x) => (float[1,4] y) { y=MatMul(x,w) }"


@pytest.fixture
def path(save_onnx: SaveOnnx) -> Path:
    return Path(save_onnx(LINEAR, w=np.eye(4, dtype=np.float32)))


def test_a_model_is_read_and_its_nodes_are_named(path: Path) -> None:
    model = import_onnx(path)
    assert [node.name for node in model.graph.node] == ["MatMul_y"]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_file(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputFileError, match="cut short"):
        read_onnx(path)


def test_every_truncation_is_one_clear_line(path: Path) -> None:
    model = onnx.load(path)
    del model.opset_import[1:]  # without its last, unused entry a model is still complete
    content = model.SerializeToString()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises((InputFileError, UnsupportedModelError)) as raised:
            read_onnx(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes(path: Path, seed: int) -> None:
    path.write_bytes(np.random.default_rng(seed).bytes(3000))
    with pytest.raises(InputFileError, match=r"not an ONNX model|cut short"):
        read_onnx(path)


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_never_end_in_a_traceback(path: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    content = bytearray(path.read_bytes())
    for _ in range(3):
        content[int(random.integers(len(content)))] = int(random.integers(256))
    path.write_bytes(bytes(content))
    try:
        read_onnx(path)
    except (InputFileError, UnsupportedModelError) as error:
        assert "\n" not in str(error)  # noqa: PT017  # some flips, in the weights, do no harm


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        (b"\x08\x0a", "lacks graph or versions"),
    ],
)
def test_files_that_are_no_models(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=message):
        read_onnx(path)


def test_a_file_larger_than_any_model(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(MAX_BYTES + 1)  # a sparse file: it takes no disk space
    with pytest.raises(InputFileError, match=f"more than the {MAX_BYTES}"):
        read_onnx(path)


@pytest.mark.parametrize(("opset", "ir_version"), [(99, 10), (18, 99)])
def test_too_new(path: Path, opset: int, ir_version: int) -> None:
    model = onnx.load(path)
    model.opset_import[0].version, model.ir_version = opset, ir_version
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UnsupportedModelError, match=f"IR version {ir_version} and opset {opset}; onnxruntime takes at"):
        read_onnx(path)


@pytest.mark.parametrize(
    ("graph", "error", "message"),
    [
        ("g (float[1] x) => (float[1] y) { a=Relu(q) y=Add(a,x) }", InputFileError, "not a valid ONNX model.*'q'"),
        ("g (float[1] x) => (float[1] y) { y=Relu(x,x) }", InputFileError, "not a valid ONNX model"),
        ("g (float[1] x) => (float[1] y) { y=Frobnicate(x) }", UnsupportedModelError, "Frobnicate"),
        ("g (float[1] x) => () { y=Relu(x) }", UnsupportedModelError, "no outputs"),
        (
            "g (seq(float[4]) x) => (float[4] y) { y=ConcatFromSequence<axis=0>(x) }",
            UnsupportedModelError,
            "a sequence",
        ),
    ],
)
def test_graphs_that_are_refused(save_onnx: SaveOnnx, graph: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        import_onnx(Path(save_onnx(graph)))


@pytest.mark.parametrize("typed", [True, False])
def test_inputs_and_outputs_may_lack_a_shape(tmp_path: Path, typed: bool) -> None:
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 18]>
        g (float[2,3] x, float[2,3] z) => (float[2,3] y) { a = Add(x, z) y = Relu(a) }""")
    for value in (model.graph.input[1], *model.graph.output):
        value.type.tensor_type.ClearField("shape")
    model.graph.value_info.append(onnx.helper.make_empty_tensor_value_info("a"))
    if not typed:
        model.graph.output[0].ClearField("type")
    onnx.save(model, tmp_path / "m.onnx")
    before = (tmp_path / "m.onnx").read_bytes()
    read = import_onnx(tmp_path / "m.onnx")
    assert not read.graph.output[0].type.tensor_type.HasField("shape")
    with pytest.raises(UnsupportedModelError, match=r"inputs of dynamic shape: 'z' \(of any rank\).*--input-shape z:"):
        load_model(str(tmp_path / "m.onnx"))
    loaded = load_model(str(tmp_path / "m.onnx"), {"z": (2, 3)})
    assert [(spec.shape, spec.dtype) for spec in loaded.outputs] == [((2, 3), "float32")]
    assert (tmp_path / "m.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("graph", "names"),
    [
        ("g (float[2,3] x) => (float[2,3] x, float[2,3] y) { y = Relu(x) }", ["x_output", "y"]),
        ("g (float[2,3] x) => (float[2,3] x) { }", ["x_output"]),
        ("g (float[2,3] x) => (float[2,3] y, float[2,3] y) { y = Relu(x) }", ["y", "y_output"]),
        ("g (float[2,3] x) => (float[2,3] y, float[3] w) { y = Add(x, w) }", ["y", "w"]),
    ],
)
def test_outputs_that_are_inputs_or_repeated_get_names(save_onnx: SaveOnnx, graph: str, names: list[str]) -> None:
    constants = {"w": np.array([1, 2, 3], np.float32)} if "w" in names else {}
    model = load_model(save_onnx(graph, **constants))
    assert [spec.name for spec in model.outputs] == names
    x = example_inputs(model)["x"]
    expected = {"x_output": x, "y_output": np.maximum(x, 0), "y": np.maximum(x, 0), **constants}
    if constants:
        expected["y"] = x + constants["w"]
    made = run_model(model.normalized, {"x": x})
    assert all(np.array_equal(made[name], expected[name]) for name in names)
