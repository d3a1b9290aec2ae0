"""Writes hostile models of TensorFlow, Keras and TFLite from good ones; run by the Python that has TensorFlow.

Arguments: the folder with what `make_models` wrote, and the folder to write into.
"""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema

CUSTOM = 32
"""The code of operators that TFLite does not define."""


def change_graph(good: Path, path: Path, change: Callable[[Any], None]) -> None:
    """A frozen graph with something changed."""
    graph = tf.compat.v1.GraphDef.FromString(good.read_bytes())
    change(graph)
    path.write_bytes(graph.SerializeToString())


def close_cycle(graph: Any) -> None:
    """What the ReLU reads depends on the ReLU."""
    relu = next(node for node in graph.node if node.op == "Relu")
    maker = next(node for node in graph.node if node.name == relu.input[0].split(":")[0])
    maker.input[0] = relu.name


def announce(graph: Any) -> None:
    """A constant of 64 GiB in which one number is stored."""
    kernel = next(n for n in graph.node if n.op == "Const" and len(n.attr["value"].tensor.tensor_shape.dim) == 4)
    tensor = kernel.attr["value"].tensor
    tensor.tensor_content = b""
    tensor.float_val.append(1.0)
    for place, size in enumerate((1 << 10, 1 << 10, 1 << 7, 1 << 7)):
        tensor.tensor_shape.dim[place].size = size


def nested_message(depth: int) -> bytes:
    """A graph whose only node has an attribute that holds an attribute, and so on."""

    def field(number: int, content: bytes) -> bytes:
        size, length = b"", len(content)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + content

    inner = b""
    for _ in range(depth):
        inner = field(10, field(2, field(1, b"a") + field(2, inner)))
    node = field(1, b"x") + field(2, b"Relu") + field(5, field(1, b"T") + field(2, inner))
    return field(1, node) + field(4, b"\x08\x01")


def change_keras(good: Path, path: Path, change: Callable[[bytes], bytes]) -> None:
    """A ``.keras`` archive with another configuration."""
    with zipfile.ZipFile(good) as given, zipfile.ZipFile(path, "w") as changed:
        for name in given.namelist():
            content = given.read(name)
            changed.writestr(name, change(content) if name == "config.json" else content)


def loop_layers(config: bytes) -> bytes:
    """The second layer reads the fourth."""
    model = json.loads(config)
    layers = model["config"]["layers"]
    layers[1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = layers[3]["config"]["name"]
    return json.dumps(model).encode()


def many_units(config: bytes) -> bytes:
    """The dense layer announces 2^40 units."""
    model = json.loads(config)
    dense = next(layer for layer in model["config"]["layers"] if layer["class_name"] == "Dense")
    dense["config"]["units"] = 1 << 40
    return json.dumps(model).encode()


def change_tflite(good: Path, path: Path, change: Callable[[Any], None]) -> None:
    """A TFLite model with something changed."""
    model = schema.ModelT.InitFromPackedBuf(good.read_bytes())
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def name_custom(model: Any) -> None:
    """The first operator is one that TFLite does not define."""
    code = model.operatorCodes[model.subgraphs[0].operators[0].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = CUSTOM
    code.customCode = b"SomeoneElses"
    model.subgraphs[0].operators[0].builtinOptions = None
    model.subgraphs[0].operators[0].builtinOptionsType = 0


def loop_operators(model: Any) -> None:
    """The first operator reads what the second computes from it."""
    operators = model.subgraphs[0].operators
    operators[0].inputs = [operators[1].outputs[0], *operators[0].inputs[1:]]


def announce_tensor(model: Any) -> None:
    """The input has 2^46 elements."""
    graph = model.subgraphs[0]
    graph.tensors[graph.inputs[0]].shape = [1, 1 << 22, 1 << 22, 3]
    graph.tensors[graph.inputs[0]].shapeSignature = None


if __name__ == "__main__":
    made, place = Path(sys.argv[1]), Path(sys.argv[2])
    change_graph(made / "frozen.pb", place / "cycle.pb", close_cycle)
    change_graph(made / "frozen.pb", place / "announced.pb", announce)
    (place / "nested.pb").write_bytes(nested_message(3000))
    change_keras(made / "net.keras", place / "cycle.keras", loop_layers)
    change_keras(made / "net.keras", place / "announced.keras", many_units)
    change_keras(made / "net.keras", place / "nested.keras", lambda _: b"[" * 100_000 + b"]" * 100_000)
    change_keras(made / "net.keras", place / "text.keras", lambda _: b"layers: none")
    change_tflite(made / "float.tflite", place / "custom.tflite", name_custom)
    change_tflite(made / "float.tflite", place / "cycle.tflite", loop_operators)
    change_tflite(made / "float.tflite", place / "announced.tflite", announce_tensor)
