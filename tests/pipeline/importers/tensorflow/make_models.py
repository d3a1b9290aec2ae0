"""Writes tiny models of TensorFlow, Keras and TFLite; run by the Python that has TensorFlow.

Argument: the folder to write them into.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

SHAPE = (7, 5, 3)


def network() -> Any:
    """A convolution with BatchNorm and ReLU, a depthwise one, pooling and a dense layer, on channels last."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = inputs = keras.Input(SHAPE, name="image")
    x = layers.Conv2D(4, 3, padding="same", name="first")(x)
    x = layers.ReLU(name="positive")(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(x)
    x = layers.Conv2D(32, 3, padding="same", name="wide")(x)  # large enough for weights of 8 bits alone
    outputs = layers.Dense(6, name="scores")(layers.GlobalAveragePooling2D(name="mean")(x))
    model = keras.Model(inputs, outputs, name="tiny")
    random = np.random.default_rng(0)
    model.set_weights([abs(random.standard_normal(w.shape)) + 0.1 if w.ndim == 1 else w for w in model.get_weights()])
    return model


def samples() -> Any:
    """Inputs to calibrate on."""
    random = np.random.default_rng(1)
    for _ in range(20):
        yield [random.standard_normal((1, *SHAPE)).astype(np.float32)]


def save_tflite(model: Any, folder: Path) -> None:
    """Float, float16, dynamic range, and integers inside with floats or integers outside."""

    def save(name: str, **settings: Any) -> None:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
        for key, value in settings.items():
            setattr(converter, key, value)
        (folder / f"{name}.tflite").write_bytes(converter.convert())

    default = [tf.lite.Optimize.DEFAULT]
    save("float")
    save("dynamic", optimizations=default)
    save("integers_inside", optimizations=default, representative_dataset=samples)
    integers = {"inference_input_type": tf.int8, "inference_output_type": tf.int8}
    save("integers", optimizations=default, representative_dataset=samples, **integers)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = default
    converter.target_spec.supported_types = [tf.float16]
    (folder / "float16.tflite").write_bytes(converter.convert())


def save_graphs(model: Any, folder: Path) -> None:
    """A SavedModel, two with operators that write files, and a frozen graph."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model.export(folder / "saved", verbose=False)
    function = tf.function(lambda image: model(image, training=False))
    spec = tf.TensorSpec((None, *SHAPE), tf.float32, name="image")
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    (folder / "frozen.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())

    class Writes(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32)])
        def __call__(self, x: Any) -> Any:
            tf.io.write_file(str(folder / "written"), "by the model")
            return x + 1.0

    class Saves(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32)])
        def __call__(self, x: Any) -> Any:
            prefix = str(folder / "written")
            tf.raw_ops.SaveV2(prefix=prefix, tensor_names=["x"], shape_and_slices=[""], tensors=[x])
            return x + 1.0

    tf.saved_model.save(Writes(), str(folder / "writes"))
    tf.saved_model.save(Saves(), str(folder / "saves"))


def save_code(folder: Path) -> None:
    """Models with a Lambda layer, whose code writes a file when it runs."""
    marker = str(folder / "written")
    code = keras.layers.Lambda(lambda x, marker=marker: [__import__("pathlib").Path(marker).touch(), x][1])
    model = keras.Sequential([keras.Input((2,)), code])
    Path(marker).unlink(missing_ok=True)
    model.save(folder / "code.keras")
    model.save(folder / "code.h5")


if __name__ == "__main__":
    place = Path(sys.argv[1])
    made = network()
    for suffix in ("keras", "h5"):
        made.save(place / f"net.{suffix}")
    made.save_weights(place / "only.weights.h5")
    save_graphs(made, place)
    save_tflite(made, place)
    save_code(place)
    (place / "written").unlink(missing_ok=True)
