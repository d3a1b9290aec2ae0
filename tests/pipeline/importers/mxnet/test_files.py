"""The two files of a network: their versions, and what is refused in one line."""

from __future__ import annotations

import contextlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.importers.caffe.files import random_array
from tests.pipeline.importers.mxnet.files import node, params_bytes, save_mxnet
from tvmopt.pipeline.errors import InputFileError, OpenShapeError, TvmoptError, UnsupportedModelError
from tvmopt.pipeline.importers.mxnet.build import import_mxnet
from tvmopt.pipeline.importers.mxnet.params import read_params
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest

NODES = [
    node("null", "data", __shape__="(1, 3, 7, 5)"),
    node("null", "c_weight"),
    node("null", "c_bias"),
    node("Convolution", "c", [0, 1, 2], kernel="(3, 3)", num_filter=4),
]
ARRAYS = {"arg:c_weight": random_array(1, 4, 3, 3, 3), "arg:c_bias": random_array(2, 4)}


def refused(path: Path, kind: type[TvmoptError] = InputFileError) -> str:
    with pytest.raises(kind) as raised:
        import_mxnet(path, ShapeRequest())
    return str(raised.value)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_versions_of_arrays(version: int, tmp_path: Path) -> None:
    arrays = {**ARRAYS, "aux:n": np.arange(3, dtype=np.int64), "h": np.array([1.5, -2], np.float16)}
    path = tmp_path / "n.params"
    path.write_bytes(params_bytes(arrays, version))
    found = read_params(path)
    assert list(found) == ["c_weight", "c_bias", "n", "h"]
    for one, array in zip(found.values(), arrays.values(), strict=True):
        assert np.array_equal(one.read(), array)


@pytest.mark.parametrize("key", ["attrs", "attr", "param"])
def test_names_of_attributes_and_a_batch(key: str, tmp_path: Path) -> None:
    nodes = [{(key if name == "attrs" else name): value for name, value in one.items()} for one in NODES]
    path = save_mxnet(tmp_path, nodes, ARRAYS)
    for request, first in ((ShapeRequest(), 1), (ShapeRequest(batch=3), 3)):
        (output,) = import_mxnet(path, request).graph.output
        assert output.name == "c_output"
        assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [first, 4, 5, 3]
    assert (
        import_mxnet(tmp_path / "net-0000.params", ShapeRequest()).graph.node
        == import_mxnet(path, ShapeRequest()).graph.node
    )


def test_unknown_operators_are_named_all_at_once(tmp_path: Path) -> None:
    nodes = [*NODES, node("Custom", "a", [3], op_type="mine"), node("Magic", "b", [4]), node("Magic", "d", [5])]
    message = refused(save_mxnet(tmp_path, nodes, ARRAYS), UnsupportedModelError)
    assert "'net-symbol.json' has unknown operators: Custom (a), Magic (b, d);" in message


def test_symbols_that_are_refused(tmp_path: Path) -> None:
    path = save_mxnet(tmp_path, NODES, ARRAYS)
    for text in ("", "[" * 100000, "[]", '{"nodes": 3, "heads": []}', '{"nodes": [{}], "heads": [[0, 0]]}', "\xff"):
        path.write_text(text, "latin1")
        assert "\n" not in refused(path)
    path.write_text(json.dumps({"nodes": [node("relu", "a", [1]), node("relu", "b", [0])], "heads": [[1, 0, 0]]}))
    assert "the graph has a circle" in refused(path)
    path.write_text(json.dumps({"nodes": NODES, "heads": [[9, 0, 0]]}))
    assert "outputs of nodes that are not there" in refused(path)
    path.write_text(json.dumps({"nodes": [node("null", "data"), *NODES[1:]], "heads": [[3, 0, 0]]}))
    assert "--input-shape data:1,3,224,224" in refused(path, OpenShapeError)


def test_params_of_another_network(tmp_path: Path) -> None:
    assert "lacks 'c_bias'" in refused(save_mxnet(tmp_path, NODES, {"arg:c_weight": ARRAYS["arg:c_weight"]}))
    other = {**ARRAYS, "arg:c_weight": random_array(1, 4, 2, 3, 3)}
    assert "shape [4, 2, 3, 3] in the .params file, but it takes [4, 3, 3, 3]" in refused(
        save_mxnet(tmp_path, NODES, other)
    )


def test_params_that_are_refused(tmp_path: Path) -> None:
    path = save_mxnet(tmp_path, NODES, ARRAYS)
    params = tmp_path / "net-0000.params"
    content = params.read_bytes()
    huge = struct.pack("<QQQIii2q", 0x112, 0, 1, 0xF993FAC9, 0, 2, 1 << 40, 1 << 20) + bytes(64)
    sparse = struct.pack("<QQQIi", 0x112, 0, 1, 0xF993FAC9, 1) + bytes(64)
    many = struct.pack("<QQQ", 0x112, 0, 1 << 62) + bytes(64)
    for damaged in (b"", b"{}", content[:-3], content[:100], bytes(range(256)) * 4, huge, sparse, many):
        params.write_bytes(damaged)
        assert "\n" not in refused(path)


def test_damaged_files_give_an_error_or_a_network(tmp_path: Path) -> None:
    """A fixed budget of random damage to both files: nothing but our errors comes out."""
    path = save_mxnet(tmp_path, NODES, ARRAYS)
    random = np.random.default_rng(0)
    for file in (tmp_path / "net-0000.params", path):
        content = file.read_bytes()
        for _ in range(300):
            damaged = bytearray(content[: random.integers(1, len(content) + 1)] if random.random() < 0.3 else content)
            for place in random.integers(0, min(len(damaged), 400), random.integers(1, 5)):
                damaged[place] = random.integers(0, 256)
            file.write_bytes(damaged)
            with contextlib.suppress(TvmoptError):
                import_mxnet(path, ShapeRequest())
        file.write_bytes(content)
