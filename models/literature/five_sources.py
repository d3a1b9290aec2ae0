"""MobileNetV2 as files of five frameworks, with the same weights in all: TensorFlow, TFLite, MXNet, ONNX, PyTorch.

The Deep Learning Inference benchmark (DLI) measures each framework on a model of its own. The definition and the seeded
weights are those of ``mobilenet_v2.py``; here they are read from that network, layer by layer, and written anew.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from mobilenet_v2 import InvertedResidual, build
from torch import nn

from tvmopt.pipeline.devices.environments.places import require_python
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.devices.environments.run_script import Call, run_script

INPUT, SIZE, CLASSES = "data", 224, 1000
SOURCES = ("tensorflow", "tflite", "mxnet", "onnx", "pytorch")
Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Unit:
    """A convolution with batch normalisation, perhaps ReLU6 behind them, perhaps a shortcut added at last.

    Attributes:
        name: of its layers and weights.
        stride, pad, groups: of the convolution.
        relu6: whether there is ReLU6.
        shortcut: the name of the unit whose result is added; empty where there is none.
    """

    name: str
    stride: int
    pad: int
    groups: int
    relu6: bool
    shortcut: str


def network() -> tuple[list[Unit], dict[str, np.ndarray]]:
    """The units up to the pooling, each reading the one before it, and all weights by ``UNIT/WEIGHT``.

    Convolutions are (out, in / groups, rows, columns), as in PyTorch; the classifier is ``classifier``.
    """
    model, _ = build()
    units: list[Unit] = []
    arrays: dict[str, np.ndarray] = {}
    for place, block in enumerate(model.features):
        before = units[-1].name if units else ""
        leaves = [layer for layer in block.modules() if not list(layer.children())]
        shortcut = before if isinstance(block, InvertedResidual) and block.shortcut else ""
        starts = [at for at, layer in enumerate(leaves) if isinstance(layer, nn.Conv2d)]
        for number, start in enumerate(starts):
            convolution, norm, *rest = leaves[start : start + 3]
            name = f"block{place}_{number}"
            last = number == len(starts) - 1
            relu6 = bool(rest) and isinstance(rest[0], nn.ReLU6)
            stride, pad = convolution.stride[0], convolution.padding[0]
            units.append(Unit(name, stride, pad, convolution.groups, relu6, shortcut if last else ""))
            parts = {"weight": convolution.weight, "gamma": norm.weight, "beta": norm.bias}
            parts |= {"mean": norm.running_mean, "variance": norm.running_var}
            arrays |= {f"{name}/{part}": tensor.detach().numpy() for part, tensor in parts.items()}
    dense = model.classifier[1]
    arrays |= {"classifier/weight": dense.weight.detach().numpy(), "classifier/bias": dense.bias.detach().numpy()}
    return units, arrays


EPSILON = 1e-5
"""What PyTorch's batch normalisation adds to the variance."""


def save(folder: Path, source: str) -> str:
    """Writes the network as `source` has it into `folder`, an existing one; returns MODEL.

    Raises:
        RuntimeMissingError: no Python has TensorFlow; says how to get it.
        ScriptError: TensorFlow cannot write it.
    """
    if source == "pytorch":
        return f"{Path(__file__).resolve().parents[1] / 'mobilenet_v2.py'}:build"
    units, arrays = network()
    if source == "onnx":
        return str(save_onnx(folder / "mobilenet_v2.onnx", units, arrays))
    if source == "mxnet":
        return str(save_mxnet(folder / "mobilenet_v2-symbol.json", units, arrays))
    return str(save_tensorflow(folder, source, units, arrays))


def save_onnx(path: Path, units: Sequence[Unit], arrays: Arrays) -> Path:
    """Writes ONNX, each layer an operator."""
    nodes: list[onnx.NodeProto] = []

    def add(operator: str, name: str, inputs: Sequence[str], **attributes: Any) -> str:
        nodes.append(onnx.helper.make_node(operator, list(inputs), [name], name, **attributes))
        return name

    x = INPUT
    for unit in units:
        pads = [unit.pad] * 4
        options = {"strides": [unit.stride] * 2, "pads": pads, "group": unit.groups}
        x = add("Conv", f"{unit.name}_conv", (x, f"{unit.name}/weight"), **options)
        weights = [f"{unit.name}/{part}" for part in ("gamma", "beta", "mean", "variance")]
        x = add("BatchNormalization", _named(unit, "norm"), (x, *weights), epsilon=EPSILON)
        x = add("Clip", unit.name, (x, "zero", "six")) if unit.relu6 else x
        x = add("Add", unit.name, (x, unit.shortcut)) if unit.shortcut else x
    x = add("Flatten", "flat", [add("GlobalAveragePool", "pool", [x])])
    add("Gemm", "scores", (x, "classifier/weight", "classifier/bias"), transB=1)
    limits = {"zero": np.float32(0), "six": np.float32(6)}
    tensors = [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in {**arrays, **limits}.items()]
    taken, given = (
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in ((INPUT, (1, 3, SIZE, SIZE)), ("scores", (1, CLASSES)))
    )
    graph = onnx.helper.make_graph(nodes, "mobilenet_v2", [taken], [given], tensors)
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def _named(unit: Unit, layer: str) -> str:
    """The name of the unit's result, where `layer` gives it, else the layer's own."""
    return f"{unit.name}_{layer}" if unit.relu6 or unit.shortcut else unit.name


def save_mxnet(path: Path, units: Sequence[Unit], arrays: Arrays) -> Path:
    """Writes an MXNet symbol, and its parameters beside it."""
    nodes: list[dict[str, Any]] = []
    places: dict[str, int] = {}

    def add(operator: str, name: str, inputs: Sequence[str] = (), **attributes: object) -> str:
        attrs = {key: str(value) for key, value in attributes.items()}
        entries = [[places[one], 0, 0] for one in inputs]
        places[name] = len(nodes)
        nodes.append({"op": operator, "name": name, "attrs": attrs, "inputs": entries})
        return name

    def weights(name: str, *parts: str) -> Iterator[str]:
        return (add("null", f"{name}/{part}") for part in parts)

    x = add("null", INPUT, __shape__=(1, 3, SIZE, SIZE))
    for unit in units:
        kernel, filters = arrays[f"{unit.name}/weight"].shape[2:], len(arrays[f"{unit.name}/weight"])
        window = {"kernel": kernel, "stride": (unit.stride,) * 2, "pad": (unit.pad,) * 2}
        options = {**window, "num_group": unit.groups, "num_filter": filters, "no_bias": True}
        x = add("Convolution", f"{unit.name}_conv", (x, *weights(unit.name, "weight")), **options)
        norm = {"eps": EPSILON, "fix_gamma": False, "use_global_stats": True}
        parts = weights(unit.name, "gamma", "beta", "mean", "variance")
        x = add("BatchNorm", _named(unit, "norm"), (x, *parts), **norm)
        x = add("clip", unit.name, [x], a_min=0.0, a_max=6.0) if unit.relu6 else x
        x = add("elemwise_add", unit.name, (x, unit.shortcut)) if unit.shortcut else x
    x = add("Pooling", "pool", [x], kernel=(1, 1), pool_type="avg", global_pool=True)
    dense = (add("Flatten", "flat", [x]), *weights("classifier", "weight", "bias"))
    add("FullyConnected", "scores", dense, num_hidden=CLASSES)
    inputs = [place for place, node in enumerate(nodes) if node["op"] == "null"]
    path.write_text(json.dumps({"nodes": nodes, "arg_nodes": inputs, "heads": [[len(nodes) - 1, 0, 0]]}))
    states = ("/mean", "/variance")
    named = {f"{'aux' if name.endswith(states) else 'arg'}:{name}": array for name, array in arrays.items()}
    path.with_name(path.name.replace("-symbol.json", "-0000.params")).write_bytes(_params(named))
    return path


def _params(arrays: Arrays) -> bytes:
    """A file of MXNet's parameters: lists of arrays, each behind its storage, shape, place and dtype, and of names."""
    content = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        content += struct.pack(f"<Iii{array.ndim}q", 0xF993FAC9, 0, array.ndim, *array.shape)
        content += struct.pack("<iii", 1, 0, 0) + np.ascontiguousarray(array, "<f4").tobytes()
    names = [name.encode() for name in arrays]
    return content + struct.pack("<Q", len(names)) + b"".join(struct.pack("<Q", len(name)) + name for name in names)


def save_tensorflow(folder: Path, source: str, units: Sequence[Unit], arrays: Arrays) -> Path:
    """Writes a SavedModel, or with `source` ``tflite`` a model of TFLite, by the Python that has TensorFlow."""
    work = folder / f"{source}_script"
    work.mkdir()
    np.savez(work / "weights.npz", **arrays)
    facts = {"input": INPUT, "size": SIZE, "epsilon": EPSILON, "units": [asdict(unit) for unit in units]}
    (work / "network.json").write_text(json.dumps(facts))
    path = folder / ("mobilenet_v2.tflite" if source == "tflite" else "mobilenet_v2_saved")
    script = Path(__file__).with_name("five_sources_tensorflow.py")
    python = require_python(find_environment("tensorflow"))
    run_script(python, Call(script, (source, str(path.resolve())), work))
    return path
