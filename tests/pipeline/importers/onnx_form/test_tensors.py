from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.onnx_form.tensors import all_tensors, check_sizes, read_external_data

Parse = Callable[..., onnx.ModelProto]
WEIGHT = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def external(parse: Parse, tmp_path: Path) -> Callable[..., onnx.ModelProto]:
    """A model whose weight is in ``weights.bin``, or at another location."""

    def build(location: str = "weights.bin", **where: object) -> onnx.ModelProto:
        (tmp_path / "weights.bin").write_bytes(b"pad!" + WEIGHT.tobytes())
        model = parse("g (float[1,2] x) => (float[1,3] y) { y=MatMul(x,w) }", w=WEIGHT)
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, "offset": 4, **where}.items():
            tensor.external_data.add(key=key, value=str(value))
        return model

    return build


def test_data_beside_the_model_are_read(external: Callable[..., onnx.ModelProto], tmp_path: Path) -> None:
    model = external(length=WEIGHT.nbytes)
    read_external_data(model, tmp_path)
    check_sizes(model)
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), WEIGHT)
    assert not model.graph.initializer[0].external_data


@pytest.mark.parametrize(
    ("location", "where", "message"),
    [
        ("../weights.bin", {}, "must lie in the model's folder"),
        ("sub/../../weights.bin", {}, "must lie in the model's folder"),
        ("/etc/hostname", {}, "must lie in the model's folder"),
        ("..\\weights.bin", {}, "must lie in the model's folder"),
        ("", {}, "must lie in the model's folder"),
        ("link.bin", {}, "behind the link .*link.bin', which leads out of the model's folder"),
        ("linked/passwd", {}, "behind the link .*linked', which leads out of the model's folder"),
        ("dangling.bin", {}, "which leads nowhere"),
        ("circle.bin", {}, "which leads nowhere"),
        ("folder", {}, "not a regular file"),
        ("missing.bin", {}, "is missing"),
        ("weights.bin", {"offset": 5, "length": 24}, "cut short"),
        ("weights.bin", {"offset": -1}, "cut short"),
        ("weights.bin", {"length": -1}, "cut short"),
        ("weights.bin", {"offset": "x"}, "no sensible extent"),
    ],
)
def test_anything_else_is_refused(
    external: Callable[..., onnx.ModelProto], tmp_path: Path, location: str, where: dict[str, object], message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.bin").symlink_to("/etc/hostname")
    (tmp_path / "linked").symlink_to("/etc")
    (tmp_path / "dangling.bin").symlink_to("nothing")
    (tmp_path / "circle.bin").symlink_to("circle.bin")
    with pytest.raises(InputFileError, match=message):
        read_external_data(external(location, **where), tmp_path)


@pytest.mark.parametrize("location", ["link.bin", "linked/weights.bin"])
def test_a_link_within_the_models_folder_is_followed(
    external: Callable[..., onnx.ModelProto], tmp_path: Path, location: str
) -> None:
    (tmp_path / "link.bin").symlink_to("weights.bin")
    (tmp_path / "linked").symlink_to(tmp_path)
    model = external(location)
    read_external_data(model, tmp_path)
    assert model.graph.initializer[0].raw_data == (tmp_path / "weights.bin").read_bytes()[4:]


@pytest.mark.parametrize("subfolder", ["", "onnx"])
def test_the_links_of_a_hugging_face_cache_are_followed(
    external: Callable[..., onnx.ModelProto], tmp_path: Path, subfolder: str
) -> None:
    model, content = external("weights.bin"), (tmp_path / "weights.bin").read_bytes()
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / "0123abcd" / subfolder
    (repository / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    (repository / "blobs" / "e3b0c442").write_bytes(content)
    (snapshot / "weights.bin").symlink_to(repository / "blobs" / "e3b0c442")
    read_external_data(model, snapshot)
    assert model.graph.initializer[0].raw_data == content[4:]


def test_a_cache_whose_blobs_are_elsewhere_is_refused(external: Callable[..., onnx.ModelProto], tmp_path: Path) -> None:
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (repository / "blobs").symlink_to("/etc")
    (snapshot / "weights.bin").symlink_to(repository / "blobs" / "hostname")
    with pytest.raises(InputFileError, match="leads out of the model's folder"):
        read_external_data(external("weights.bin"), snapshot)


def test_too_many_bytes_are_refused_before_they_are_read(
    external: Callable[..., onnx.ModelProto], tmp_path: Path
) -> None:
    with pytest.raises(InputFileError, match="more than"):
        read_external_data(external(), tmp_path, budget=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dims": [1 << 40, 3]}, "holds 24 bytes, but its shape needs"),
        ({"dims": [-2, -3]}, "negative size"),
        ({"data_type": 77}, "unknown dtype 77"),
        ({"data_type": onnx.TensorProto.DOUBLE}, "holds 24 bytes, but its shape needs 48"),
    ],
)
def test_wrong_sizes_are_found(parse: Parse, change: dict[str, object], message: str) -> None:
    model = parse("g (float[1,2] x) => (float[1,3] y) { y=MatMul(x,w) }", w=WEIGHT)
    tensor = model.graph.initializer[0]
    if "dims" in change:
        tensor.dims[:] = change["dims"]
    else:
        tensor.data_type = change["data_type"]
    with pytest.raises(InputFileError, match=message):
        check_sizes(model)


@pytest.mark.parametrize(
    ("dtype", "nbytes"),
    [("FLOAT16", 4), ("BFLOAT16", 4), ("FLOAT8E4M3FN", 2), ("INT4", 1), ("UINT64", 16), ("BOOL", 2), ("COMPLEX64", 16)],
)
def test_sizes_of_all_kinds_of_elements(parse: Parse, dtype: str, nbytes: int) -> None:
    model = parse("g (float[1,2] x) => (float[1,2] y) { y=Relu(x) }")
    kind = onnx.TensorProto.DataType.Value(dtype)
    model.graph.initializer.add(name="w", dims=[2], data_type=kind, raw_data=bytes(nbytes))
    check_sizes(model)
    model.graph.initializer[0].raw_data += b"!"
    with pytest.raises(InputFileError, match=f"holds {nbytes + 1} bytes"):
        check_sizes(model)


def test_tensors_of_subgraphs_and_attributes_are_found(parse: Parse) -> None:
    model = parse(
        "g (float[1] x, bool c) => (float[1] y) { k=Constant<value=float[1] {2}>()"
        " y=If(c)<then_branch=a () => (float[1] p) <float[1] w={1}> {p=Add(x,w)},"
        " else_branch=b () => (float[1] q) {q=Constant<value=float[1] {3}>()}> }"
    )
    assert len(list(all_tensors(model))) == 3
