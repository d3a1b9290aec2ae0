"""The example networks: torchvision's layouts, well-scaled activations, and the same weights every time."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.importers import example_inputs, load_model

pytestmark = pytest.mark.slow  # a process or two for each test

MODELS = Path(__file__).resolve().parents[2] / "models"

# Parameters, entries in the state dictionary and the first digits of its layout's SHA-256: names and shapes in order,
# compared once with classes written out from torchvision's published source.
LAYOUTS = {
    "densenet121": (7_978_856, 727, "aa0fd9923b0003b8"),
    "efficientnet_b0": (5_288_548, 360, "a04d0792ee390a49"),
    "inception_v3": (27_161_264, 580, "aab0ac2cbaf84aa2"),
    "mobilenet_v2": (3_504_872, 314, "37bbbce8932fd0c4"),
    "mobilenet_v3_large": (5_483_032, 312, "efe98e40831bae95"),
    "resnet50": (25_557_032, 320, "d7e4f8bb0a536344"),
    "squeezenet1_1": (1_235_496, 52, "1d365589393f9c1e"),
    "vgg16": (138_357_544, 32, "35c4623e0cd4a39d"),
}
# Image sizes other than 224 × 224 pixels.
SIZES = {"inception_v3": 299, "ssd_mobilenet": 300}
# Input and output shapes, and parameters, of the networks that torchvision lacks or defines differently.
OTHERS = {
    "digits": (9_978, (1, 1, 8, 8), [(1, 10)]),
    "fc_dnn": (18_433, (1, 13), [(1, 1)]),
    "mlp": (407_050, (1, 784), [(1, 10)]),
    "lstm": (858_634, (1, 32, 64), [(1, 10)]),
    "ssd_mobilenet": (5_796_089, (1, 3, 300, 300), [(1, 1917, 4), (1, 1917, 21)]),
}
NETWORKS = [*LAYOUTS, *OTHERS]
KINDS = {
    *("Add", "AveragePool", "Clip", "Concat", "Conv", "Gemm", "HardSigmoid", "MaxPool", "Mul", "ReduceMean", "Relu"),
    *("Reshape", "Sigmoid", "Softmax", "Transpose"),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Beside other programs, PyTorch's threads wait for each other many times longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{name}", MODELS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(MODELS)  # the networks share seeding.py
        spec.loader.exec_module(loaded)
    return loaded


@cache
def built(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    model, inputs = module(name).build()
    return model, inputs


def layout(model: nn.Module) -> str:
    lines = "\n".join(f"{name} {tuple(value.shape)}" for name, value in model.state_dict().items())
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def contents(model: nn.Module) -> dict[str, str]:
    """Every parameter and buffer, exactly."""
    return {name: hashlib.sha256(value.numpy().tobytes()).hexdigest() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layout_is_torchvisions(name: str) -> None:
    model, (image,) = built(name)
    parameters = sum(value.numel() for value in model.parameters())
    assert (parameters, len(model.state_dict()), layout(model)) == LAYOUTS[name]
    size = SIZES.get(name, 224)
    assert (image.shape, image.dtype) == ((1, 3, size, size), torch.float32)


@pytest.mark.parametrize("name", OTHERS)
def test_shapes_of_the_others(name: str) -> None:
    model, (sample,) = built(name)
    parameters = sum(value.numel() for value in model.parameters())
    with torch.no_grad():
        outputs = model(sample)
    shapes = [tuple(output.shape) for output in (outputs if isinstance(outputs, tuple) else (outputs,))]
    assert (parameters, tuple(sample.shape), shapes) == OTHERS[name]


def test_the_detector_has_as_many_weights_as_the_original() -> None:
    model, _ = built("ssd_mobilenet")
    folded = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    # The published Caffe model has 23,147,564 bytes, including the names and sizes of its layers.
    bytes_of_weights = 4 * (sum(value.numel() for value in model.parameters()) - folded)
    assert 0 < 23_147_564 - bytes_of_weights < 20_000


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_come_in_eval_mode_and_the_same_every_time(name: str) -> None:
    model, inputs = built(name)
    state = torch.random.get_rng_state()
    again, inputs_again = module(name).build()
    assert torch.equal(state, torch.random.get_rng_state())
    assert not any(layer.training for layer in model.modules())
    assert contents(model) == contents(again)
    assert torch.equal(inputs[0], inputs_again[0])


@pytest.mark.parametrize("name", [*LAYOUTS, "ssd_mobilenet"])
@pytest.mark.parametrize("smooth", [True, False])
def test_activations_keep_the_order_of_one(name: str, smooth: bool) -> None:
    model, _ = built(name)
    torch.manual_seed(1)
    size = SIZES.get(name, 224)
    smoothed = nn.functional.interpolate(torch.randn(2, 3, 14, 14), size=size)
    image = smoothed if smooth else torch.randn(2, 3, size, size)
    deviations: dict[str, float] = {}

    def watch(layer_name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def note(_: nn.Module, __: object, output: Tensor) -> None:
            deviations[layer_name] = float(output.std())

        return note

    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    hooks = [layer.register_forward_hook(watch(n)) for n, layer in model.named_modules() if isinstance(layer, kinds)]
    with torch.no_grad():
        outputs = model(image)
    scores = outputs[0] if isinstance(outputs, tuple) else outputs
    for hook in hooks:
        hook.remove()
    assert {n: deviation for n, deviation in deviations.items() if not 0.03 < deviation < 30} == {}
    assert torch.isfinite(scores).all()
    assert (scores[0] - scores[1]).std() > 0.01


def test_the_digits_are_learnt() -> None:
    model, (image,) = built("digits")
    _, _, images, labels = module("digits").data()
    with torch.no_grad():
        accuracy = float((model(images).argmax(1) == labels).float().mean())
    assert accuracy > 0.94
    assert image.shape == (1, 1, 8, 8)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_imported(name: str) -> None:
    model = load_model(f"{MODELS / name}.py:build")
    assert model.name == name
    detects = name == "ssd_mobilenet"
    assert [spec.name for spec in model.outputs] == (["output_0", "output_1"] if detects else ["output"])
    # DenseNet normalises concatenations, so there is no convolution to fold it into.
    kept = {"densenet121": {"BatchNormalization"}, "lstm": {"LSTM", "Gather", "Slice", "Squeeze"}}.get(name, set())
    assert {node.op_type for node in model.normalized.graph.node} <= KINDS | kept
    assert np.isfinite(example_inputs(model)[model.inputs[0].name]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_a_batch_is_exported(name: str) -> None:
    assert load_model(f"{MODELS / name}.py:build", batch=2).outputs[0].shape == (2, 1000)


def test_a_misspelt_factory() -> None:
    with pytest.raises(TvmoptError, match=r"did you mean build\?"):
        load_model(f"{MODELS / 'digits'}.py:biuld")
