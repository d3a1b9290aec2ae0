"""Writes MobileNetV2 with given weights by TensorFlow; run by the Python that has it.

Arguments: ``tensorflow`` for a SavedModel or ``tflite``, and the path to write. Reads ``network.json`` and
``weights.npz`` of the working directory, which ``five_sources.py`` wrote.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf


def network(facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Any:
    """The network on images with channels last. Padding is symmetric, as in the other frameworks, not Keras's own."""
    layers = keras.layers
    x = inputs = keras.Input((facts["size"], facts["size"], 3), batch_size=1, name=facts["input"])
    results = {}
    for unit in facts["units"]:
        name = unit["name"]
        weight = arrays[f"{name}/weight"]
        x = layers.ZeroPadding2D(unit["pad"], name=f"{name}_pad")(x) if unit["pad"] else x
        shared = {"strides": unit["stride"], "use_bias": False, "name": f"{name}_conv"}
        if unit["groups"] > 1:
            layer, kernel = layers.DepthwiseConv2D(weight.shape[2:], **shared), weight.transpose(2, 3, 0, 1)
        else:
            layer, kernel = layers.Conv2D(len(weight), weight.shape[2:], **shared), weight.transpose(2, 3, 1, 0)
        x = layer(x)
        layer.set_weights([kernel])
        norm = layers.BatchNormalization(epsilon=facts["epsilon"], name=f"{name}_norm")
        x = norm(x)
        norm.set_weights([arrays[f"{name}/{part}"] for part in ("gamma", "beta", "mean", "variance")])
        x = layers.ReLU(6.0, name=f"{name}_relu6")(x) if unit["relu6"] else x
        x = layers.Add(name=f"{name}_add")([x, results[unit["shortcut"]]]) if unit["shortcut"] else x
        results[name] = x
    dense = layers.Dense(len(arrays["classifier/bias"]), name="scores")
    x = dense(layers.GlobalAveragePooling2D(name="pool")(x))
    dense.set_weights([arrays["classifier/weight"].T, arrays["classifier/bias"]])
    return keras.Model(inputs, x, name="mobilenet_v2")


def main(form: str, path: str) -> None:
    """Writes the model."""
    with np.load("weights.npz") as arrays:
        model = network(json.loads(Path("network.json").read_text(encoding="utf-8")), dict(arrays))
    if form == "tflite":
        Path(path).write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    else:
        model.export(path, verbose=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
