"""The two files of a network: what they may look like, and what is refused in one line."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.importers.caffe.files import input_text, layer_text, random_array, save_caffe
from tvmopt.pipeline.errors import InputFileError, OpenShapeError, TvmoptError, UnsupportedModelError, UsageError
from tvmopt.pipeline.importers.caffe.build import DROPPED, LAYERS, SOURCES, import_caffe
from tvmopt.pipeline.importers.caffe.schema import message_type
from tvmopt.pipeline.importers.caffe.weights import read_blobs
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest

CONVOLUTION = layer_text("Convolution", "c", "data", "c", "convolution_param { num_output: 4 kernel_size: 3 }")
WEIGHTS = {"c": [random_array(1, 4, 3, 3, 3), random_array(2, 4)]}
TRAINING = """
name: "trained" layer { name: "d" type: "Data" top: "data" top: "label" include { phase: TRAIN } }
layer { name: "t" type: "Data" top: "data" top: "label" include { phase: TEST } transform_param { crop_size: 9 } }
layer { name: "x" type: "Dropout" bottom: "data" top: "data" include { stage: "other" } }
%s
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "c" bottom: "label" top: "loss" }
layer { name: "acc" type: "Accuracy" bottom: "c" bottom: "label" top: "acc" exclude { phase: TRAIN } }
"""


MEMORY = """layer { name: "i" type: "MemoryData" top: "data" top: "label"
    memory_data_param { batch_size: 1 channels: 3 height: 5 width: 6 } }"""


def refused(path: Path, kind: type[TvmoptError] = InputFileError) -> str:
    with pytest.raises(kind) as raised:
        import_caffe(path, ShapeRequest())
    return str(raised.value)


def test_the_compiled_schema_is_that_of_the_text(repository: Path) -> None:
    text = (repository / "pipeline" / "importers" / "caffe" / "caffe.proto").read_text()
    for message in text.split("\nmessage ")[1:]:
        name, body = message.split(" ", 1)
        written = re.findall(r"(?:optional|repeated) [\w.]+ (\w+) = (\d+)", body)
        fields = message_type(name).DESCRIPTOR.fields
        assert {(field.name, str(field.number)) for field in fields} == set(written), name


def test_layers_of_training_and_of_other_stages_are_left_out(tmp_path: Path) -> None:
    model = import_caffe(save_caffe(tmp_path, TRAINING % CONVOLUTION, WEIGHTS), ShapeRequest())
    assert [node.name for node in model.graph.node] == ["c"]
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 9, 9]
    assert [output.name for output in model.graph.output] == ["c"]


@pytest.mark.parametrize(
    "head",
    [
        'input: "data" input_dim: 1 input_dim: 3 input_dim: 5 input_dim: 6 ',
        'layer { name: "i" type: "Input" top: "data" input_param { shape { dim: [1, 3, 5, 6] } } }',
        MEMORY,
    ],
)
def test_forms_of_inputs_and_a_batch(head: str, tmp_path: Path) -> None:
    path = save_caffe(tmp_path, head + CONVOLUTION, WEIGHTS)
    for request, first in ((ShapeRequest(), 1), (ShapeRequest(batch=3), 3), (ShapeRequest({"data": (2, 3, 5, 6)}), 2)):
        (output,) = import_caffe(path, request).graph.output
        assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [first, 4, 3, 4]
    with pytest.raises(UsageError, match="unknown input 'x'"):
        import_caffe(path, ShapeRequest({"x": (1,)}))


def test_an_input_without_shape(tmp_path: Path) -> None:
    path = save_caffe(tmp_path, 'input: "data" ' + CONVOLUTION, WEIGHTS)
    assert "give it with --input-shape data:" in refused(path, OpenShapeError)


def test_the_other_file_is_found_from_either(tmp_path: Path) -> None:
    path = save_caffe(tmp_path, input_text(1, 3, 5, 6) + CONVOLUTION, WEIGHTS)
    weights = path.with_suffix(".caffemodel")
    assert import_caffe(weights, ShapeRequest()) == import_caffe(path, ShapeRequest())
    weights.rename(tmp_path / "net_iter_9.caffemodel")
    import_caffe(path, ShapeRequest())
    (tmp_path / "net_iter_8.caffemodel").write_bytes(b"")
    assert "net_iter_8.caffemodel, net_iter_9.caffemodel" in refused(path)
    import_caffe(tmp_path / "net_iter_9.caffemodel", ShapeRequest())
    for file in tmp_path.glob("*.caffemodel"):
        file.unlink()
    assert "there is no .caffemodel file beside 'net.prototxt': put net.caffemodel there" in refused(path)


def test_unknown_layers_are_named_all_at_once(tmp_path: Path) -> None:
    text = input_text(1, 3, 5, 6) + layer_text("Python", "p", "data", "a") + layer_text("Magic", "m", "a", "b")
    message = refused(save_caffe(tmp_path, text + layer_text("Magic", "n", "b", "c"), WEIGHTS), UnsupportedModelError)
    assert "'net.prototxt' has layers of unknown types: Python (p), Magic (m, n)" in message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "describes no layers"),
        ('net: "train_val.prototxt" base_lr: 0.01', "describes no layers"),
        ("layer {", "cut short"),
        ("x { " * 5000, "nested too deeply|cut short"),
        ('layers { layer { name: "c" type: "conv" } }', "before 2014"),
        ('layers { name: "c" type: WARP }', "WARP"),
        ('input: "data" input_dim: 1 ' + CONVOLUTION, "layer 'c'"),
        (
            input_text(1, 3, 5, 6) + layer_text("ReLU", "r", "later", "r") + CONVOLUTION,
            "no layer before it makes",
        ),
        (input_text(1, 3, 2, 2) + CONVOLUTION, "layer 'c'"),
        (input_text(1, 8, 5, 5) + CONVOLUTION, "belongs to another network"),
        (input_text(1, 3, 5, 5) + layer_text("ReLU", "other", "data", "r"), "weights for none of the network's layers"),
        (input_text(1, 3, 2000000000, 2000000000) + CONVOLUTION, "more elements than any network"),
        (input_text(1, 3, 5, 5, name="x") + CONVOLUTION, "reads 'data', which no layer before it makes"),
    ],
)
def test_descriptions_that_are_refused(text: str, reason: str, tmp_path: Path) -> None:
    message = refused(save_caffe(tmp_path, text, WEIGHTS), TvmoptError)
    assert re.search(reason, message), message


def test_weights_that_are_refused(tmp_path: Path) -> None:
    path = save_caffe(tmp_path, input_text(1, 3, 5, 6) + CONVOLUTION, WEIGHTS)
    weights = path.with_suffix(".caffemodel")
    content = weights.read_bytes()
    for damaged in (b"", content[:-7], b"layer { }", bytes(range(256)) * 4):
        weights.write_bytes(damaged)
        assert "\n" not in refused(path)
    network = message_type("NetParameter")()
    blob = network.layer.add(name="c").blobs.add()
    blob.shape.dim.extend([1 << 40, 1 << 30])
    weights.write_bytes(network.SerializeToString())
    assert "has 0 bytes of elements" in refused(path)
    weights.write_bytes(b"\xa2\x06\xff\xff\xff\xff\x7f" + content)
    assert "beyond its message" in refused(path)
    path.write_bytes(content + b"\xff")
    assert "is not text" in refused(path)


def test_doubles_and_elements_one_by_one(tmp_path: Path) -> None:
    network = message_type("NetParameter")()
    blob = network.layer.add(name="a").blobs.add()
    blob.shape.dim.extend([2, 2])
    blob.double_data.append(np.arange(4.0).tobytes())
    unpacked = b"".join(b"\x2d" + np.float32(value).tobytes() for value in (3, 4))
    layer = b"\x0a\x01b" + b"\x3a" + bytes([len(unpacked)]) + unpacked
    path = tmp_path / "n.caffemodel"
    path.write_bytes(network.SerializeToString() + b"\xa2\x06" + bytes([len(layer)]) + layer)
    blobs = read_blobs(path)
    assert np.array_equal(blobs["a"][0].read(), [[0, 1], [2, 3]])
    assert np.array_equal(blobs["b"][0].read(), [3, 4])


def test_a_type_is_in_one_list() -> None:
    assert not LAYERS.keys() & SOURCES
    assert not (LAYERS.keys() | SOURCES) & DROPPED


def test_damaged_files_give_an_error_or_a_network(tmp_path: Path) -> None:
    """A fixed budget of random damage to both files: nothing but our errors comes out."""
    path = save_caffe(tmp_path, input_text(1, 3, 5, 6) + CONVOLUTION, WEIGHTS)
    random = np.random.default_rng(0)
    for file in (path.with_suffix(".caffemodel"), path):
        content = file.read_bytes()
        for _ in range(300):
            damaged = bytearray(content[: random.integers(1, len(content) + 1)] if random.random() < 0.3 else content)
            for place in random.integers(0, min(len(damaged), 200), random.integers(1, 5)):
                damaged[place] = random.integers(0, 256)
            file.write_bytes(damaged)
            with contextlib.suppress(TvmoptError):
                import_caffe(path, ShapeRequest())
        file.write_bytes(content)
