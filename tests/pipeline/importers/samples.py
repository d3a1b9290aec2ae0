"""A tiny model of every format; the contract test of importers uses these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests import tiny
from tests.pipeline.importers.caffe.files import input_text, layer_text, random_array
from tests.pipeline.importers.caffe.files import save_caffe as save
from tests.pipeline.importers.mxnet.files import node
from tests.pipeline.importers.mxnet.files import save_mxnet as save_network
from tests.pipeline.importers.tensorflow.files import save_keras, save_tensorflow, save_tflite
from tvmopt.pipeline.importers.base import Importer

FACTORY = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()).eval(), (torch.randn(1, 3, 7, 5),)
"""


def save_onnx(folder: Path) -> str:
    """Two convolutions."""
    return str(tiny.save_two_convolutions(folder))


def save_factory(folder: Path) -> str:
    """A convolution with BatchNorm and ReLU."""
    pytest.importorskip("torch")
    path = folder / "net.py"
    path.write_text(FACTORY)
    return f"{path}:build"


def save_program(folder: Path) -> str:
    """The model of `save_factory`, exported for a batch of 1."""
    torch = pytest.importorskip("torch")
    made: dict[str, Callable[[], tuple[object, tuple[object, ...]]]] = {}
    exec(FACTORY, made)
    torch.export.save(torch.export.export(*made["build"]()), folder / "net.pt2")
    return str(folder / "net.pt2")


def save_caffe(folder: Path) -> str:
    """A convolution with BatchNorm, Scale and ReLU."""
    layers = layer_text("Convolution", "c", "data", "c", "convolution_param { num_output: 4 kernel_size: 3 }")
    layers += layer_text("BatchNorm", "b", "c", "c") + layer_text(
        "Scale", "s", "c", "c", "scale_param { bias_term: true }"
    )
    layers += layer_text("ReLU", "r", "c", "y")
    arrays = {
        "c": [random_array(1, 4, 3, 3, 3), random_array(2, 4)],
        "b": [random_array(3, 4), abs(random_array(4, 4)) + 1, random_array(5, 1) * 0 + 2],
        "s": [random_array(6, 4), random_array(7, 4)],
    }
    return str(save(folder, input_text(1, 3, 7, 5) + layers, arrays))


def save_mxnet(folder: Path) -> str:
    """A convolution with BatchNorm and ReLU."""
    names = ("c_weight", "c_bias", "b_gamma", "b_beta", "b_moving_mean", "b_moving_var")
    nodes = [node("null", "data", __shape__="(1, 3, 7, 5)"), *(node("null", name) for name in names)]
    nodes.append(node("Convolution", "c", [0, 1, 2], kernel="(3, 3)", num_filter=4))
    nodes += [node("BatchNorm", "b", [7, 3, 4, 5, 6], fix_gamma=False), node("Activation", "r", [8], act_type="relu")]
    arrays = {name: abs(random_array(place, 4)) + 0.1 for place, name in enumerate(names)}
    arrays["c_weight"] = random_array(9, 4, 3, 3, 3)
    return str(save_network(folder, nodes, {f"arg:{name}": array for name, array in arrays.items()}))


SAMPLES: Mapping[str, Callable[[Path], str]] = {
    "onnx": save_onnx,
    "pt2": save_program,
    "python": save_factory,
    "caffe": save_caffe,
    "mxnet": save_mxnet,
    "tensorflow": save_tensorflow,
    "keras": save_keras,
    "tflite": save_tflite,
}
"""By the importer's kind: writes a model into a folder and gives MODEL. Inputs begin with a batch of 1."""


def save_sample(importer: Importer, folder: Path) -> str:
    """Writes the sample of `importer` into `folder` and returns MODEL; fails the test if there is none."""
    if importer.kind not in SAMPLES:
        pytest.fail(
            f"importer {importer.kind!r} brings no sample: "
            f"give SAMPLES in {Path(__file__).name} a function that writes a tiny model of its format"
        )
    return SAMPLES[importer.kind](folder)
