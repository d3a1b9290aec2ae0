"""Models of TensorFlow, Keras and TFLite, in every form, against their frameworks."""

from __future__ import annotations

import functools
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.pipeline.importers.tensorflow.files import made, real_model
from tvmopt.pipeline.errors import InputFileError, TvmoptError, UnsupportedModelError, WrongResultError
from tvmopt.pipeline.importers import example_inputs, load_model, parse_source
from tvmopt.pipeline.importers.base import OnnxForm
from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.importers.load import load_onnx
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.importers.registry import find_importer
from tvmopt.pipeline.importers.tensorflow.check import check_against_framework
from tvmopt.pipeline.importers.tensorflow.convert import Ran
from tvmopt.pipeline.importers.tensorflow.layer_values import framework_values
from tvmopt.pipeline.support.onnxruntime import run_model

pytestmark = pytest.mark.slow


@functools.cache
def load(path: Path) -> OnnxForm:
    """The ONNX form, unchecked; tests must not change it."""
    source = parse_source(str(path))
    return find_importer(source.kind).load(source, ShapeRequest(), True)


def ran(form: OnnxForm) -> Ran:
    assert isinstance(form.program, Ran)
    return form.program


@pytest.mark.parametrize(
    ("name", "framework", "taken", "given"),
    [
        ("net.keras", "Keras 3", "image", "scores"),
        ("net.h5", "Keras 3", "image", "scores"),
        ("saved", "TensorFlow 2", "image", "output_0"),
        ("frozen.pb", "TensorFlow 2", "image", None),
        ("float.tflite", "LiteRT 2", "image", "output_0"),
        ("float16.tflite", "LiteRT 2", "image", "output_0"),
    ],
)
def test_floats(name: str, framework: str, taken: str, given: str | None) -> None:
    form = load(made() / name)
    assert ran(form).framework.startswith(framework)
    assert list(form.inputs) == [taken]
    assert form.inputs[taken].shape == (1, 7, 5, 3)
    assert given in (None, *form.outputs)
    check_against_framework(form)
    (output,) = form.outputs.values()
    assert output.shape == (1, 6)
    assert np.ptp(output) > 0.1


@pytest.mark.parametrize("name", ["integers.tflite", "integers_inside.tflite"])
def test_quantised_models_keep_their_scales_and_differ_by_a_step_at_most(name: str) -> None:
    form = load(made() / name)
    kinds = Counter(node.op_type for node in form.model.graph.node)
    assert kinds["QuantizeLinear"] >= 3
    assert kinds["DequantizeLinear"] >= 6
    check_against_framework(form)
    assert {array.dtype.name for array in ran(form).values.values()} >= {"int8"}
    changed = onnx.ModelProto()
    changed.CopyFrom(form.model)
    weight = next(t for t in changed.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4)
    values = onnx.numpy_helper.to_array(weight)
    weight.CopyFrom(onnx.numpy_helper.from_array((values // 2).astype(np.int8), weight.name))
    with pytest.raises(WrongResultError, match=r"LiteRT .* steps in \d+ of \d+ elements, .* from layer '.+' on"):
        check_against_framework(replace(form, model=changed))


def test_dynamic_range_is_allowed_the_rounding_that_the_file_leaves_open() -> None:
    form = load(made() / "dynamic.tflite")
    assert ran(form).hybrid
    check_against_framework(form)
    (output,) = form.outputs.values()
    with pytest.raises(WrongResultError, match="where 0.1 is allowed"):
        check_against_framework(replace(form, outputs={name: 2 * array for name, array in form.outputs.items()}))
    assert np.ptp(output) > 0.1


def test_every_form_is_the_same_network() -> None:
    x = np.random.default_rng(3).standard_normal((1, 7, 5, 3)).astype(np.float32)
    found = {}
    for name in ("net.keras", "net.h5", "saved", "frozen.pb", "float.tflite"):
        model = load(made() / name).model
        (found[name],) = run_model(model, {model.graph.input[0].name: x}).values()
    for output in found.values():
        np.testing.assert_allclose(output, found["net.keras"], rtol=1e-5, atol=1e-5)


def test_a_batch_and_shapes() -> None:
    model = load_model(str(made() / "net.keras"), batch=3)
    assert [spec.shape for spec in (*model.inputs, *model.outputs)] == [(3, 7, 5, 3), (3, 6)]
    form = find_importer("keras").load(
        parse_source(str(made() / "net.keras")), ShapeRequest({"image": (2, 7, 5, 3)}), True
    )
    assert form.inputs["image"].shape == (2, 7, 5, 3)


@pytest.mark.parametrize("name", ["net.keras", "saved", "float.tflite"])
def test_values_of_layers_are_those_of_the_framework(name: str) -> None:
    """In a batch of 2 and with channels first, where the ONNX form has them so."""
    model = load_model(str(made() / name), batch=2)
    inputs = example_inputs(model, seed=5)
    names = [name for node in model.original.graph.node for name in node.output]
    found = framework_values(model, inputs, names)
    assert len(found) >= 4
    assert {output.name for output in model.outputs} <= found.keys() <= set(names)
    expected = run_model(with_outputs(model.original, list(found)), inputs, list(found))
    assert any(array.ndim == 4 and array.shape[1] in (4, 32) for array in found.values())
    for value, array in found.items():
        np.testing.assert_allclose(array, expected[value], rtol=1e-5, atol=1e-5, err_msg=value)


@pytest.mark.parametrize("name", ["integers.tflite", "integers_inside.tflite", "dynamic.tflite"])
def test_integers_of_two_runtimes_are_not_compared_value_by_value(name: str) -> None:
    model = load_model(str(made() / name))
    with pytest.raises(UnsupportedModelError, match="LiteRT .* rounds to integers in its own way"):
        framework_values(model, example_inputs(model), [])


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("code.keras", UnsupportedModelError, "Lambda layer"),
        ("code.h5", UnsupportedModelError, "Lambda layer"),
        ("writes", UnsupportedModelError, r"reach beyond it \(WriteFile\)"),
        ("only.weights.h5", InputFileError, "weights but no model"),
    ],
)
def test_code_in_a_model_is_not_run(name: str, kind: type[TvmoptError], message: str) -> None:
    with pytest.raises(kind, match=message):
        load_model(str(made() / name))
    assert not (made() / "written").exists()


def test_operators_that_every_saved_model_has_save_nothing() -> None:
    """They are in the function that would save the model; here, also in its signature."""
    assert load_model(str(made() / "saves")).outputs[0].shape == (2,)
    assert not list(made().glob("written*"))


@pytest.mark.parametrize(
    ("name", "part"), [("net.keras", 0.9), ("net.h5", 0.5), ("frozen.pb", 0.9), ("integers.tflite", 0.5)]
)
def test_truncated_files(name: str, part: float, tmp_path: Path) -> None:
    content = (made() / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises((InputFileError, UnsupportedModelError)) as raised:
        load_model(str(path))
    assert "\n" not in str(raised.value)


def test_a_saved_model_with_operators_of_others_or_without_weights(tmp_path: Path) -> None:
    shutil.copytree(made() / "saved", tmp_path / "custom")
    path = tmp_path / "custom" / "saved_model.pb"
    assert b"Relu" in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b"Relu", b"Rulu"))
    with pytest.raises(UnsupportedModelError, match="operators that are not TensorFlow's own: Rulu"):
        load_model(str(path.parent))
    shutil.copytree(made() / "saved", tmp_path / "bare")
    shutil.rmtree(tmp_path / "bare" / "variables")
    with pytest.raises(InputFileError):
        load_model(str(tmp_path / "bare"))


def test_a_module_named_in_a_keras_file_is_not_imported(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(made() / "net.keras") as given, zipfile.ZipFile(tmp_path / "net.keras", "w") as changed:
        for name in given.namelist():
            content = given.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["module"] = "antigravity"
                content = json.dumps(config).encode()
            changed.writestr(name, content)
    with pytest.raises(UnsupportedModelError, match="of the module 'antigravity'"):
        load_model(str(tmp_path / "net.keras"))


@pytest.mark.parametrize(
    ("name", "sample"),
    [
        ("tflite/image_classification.tflite", "image_classification_tflite.npz"),
        ("tflite/rock_paper_scissors.float32.tflite", ""),
        ("tflite/face_landmark.tflite", ""),
        ("tflite/face_detection_short_range.tflite", ""),
        ("tflite/fer_emotion_model_quantized.tflite", ""),
        ("keras/keyword_spotting.h5", ""),
        ("savedmodel/basic_pitch_nmp", ""),
    ],
)
def test_networks_that_others_trained(name: str, sample: str) -> None:
    path = real_model(name)
    model, against = load_onnx(str(path))
    assert load_onnx(str(path))[0] == model, "the same file gives another model the second time"
    assert against.startswith("LiteRT" if path.suffix == ".tflite" else ("TensorFlow", "Keras", "tf-keras"))
    if not sample:
        return
    with np.load(path.parents[1] / "samples" / sample) as arrays:
        x, expected = arrays["input"], arrays["output0"]
    (output,) = run_model(model, {model.graph.input[0].name: x}).values()
    assert output.argmax() == expected.argmax()
