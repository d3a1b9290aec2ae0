"""Loads Keras files without running code in them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tensorflow_to_onnx import UNREADABLE, UNSUPPORTED
from tensorflow_values import RefusedError

_HOMES = ("keras", "keras_core", "tf_keras", "tensorflow.keras", "tensorflow.python.keras", "builtins")
"""The modules from which a configuration may name classes and functions."""

_CODE = ("Lambda", "__lambda__", "function_type")
_FUNCTIONS = ("math.", "nn.", "linalg.", "image.", "__operators__.")
_PLAIN = (
    *("cast", "clip_by_value", "concat", "expand_dims", "gather", "identity", "ones_like", "pad", "reshape", "reverse"),
    *("shape", "slice", "split", "squeeze", "stack", "strided_slice", "tile", "transpose", "unstack", "where"),
    *("zeros_like", "compat.v1.gather", "compat.v1.transpose"),
)
"""The functions of TensorFlow that layers may call by name."""


def load_keras(path: str) -> tuple[Any, str]:
    """The model, and the framework that runs it.

    Raises:
        RefusedError: it cannot be read, or holds code.
    """
    import keras

    config = _config(path)
    _check_config(config)
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True), f"Keras {keras.__version__}"
    except Exception as error:
        if path.lower().endswith(".keras"):
            raise RefusedError(UNREADABLE, f"Keras cannot read it: {type(error).__name__}: {error}") from error
        return _load_old(path, error)


def _load_old(path: str, refusal: Exception) -> tuple[Any, str]:
    """An H5 file that Keras 3 refuses, by Keras 2."""
    try:
        import tf_keras
    except ImportError:
        raise RefusedError(UNREADABLE, f"Keras 3 cannot read it, and tf-keras is not installed: {refusal}") from refusal
    try:
        return tf_keras.models.load_model(path, compile=False), f"Keras {tf_keras.__version__}"
    except Exception as error:
        text = f"neither Keras 3 nor Keras 2 can read it: {type(error).__name__}: {error}"
        raise RefusedError(UNREADABLE, text) from error


def _config(path: str) -> Any:
    """The model's configuration.

    Raises:
        RefusedError: there is none: the file holds weights alone.
    """
    if path.lower().endswith(".keras"):
        with zipfile.ZipFile(path) as archive:
            return _parsed(archive.read("config.json"))
    import h5py

    with h5py.File(Path(path), "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise RefusedError(UNREADABLE, "the file holds weights but no model: save the whole model, best as .keras")
    return _parsed(text)


def _parsed(text: bytes | str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "nested too deeply" if isinstance(error, RecursionError) else "not JSON"
        raise RefusedError(UNREADABLE, f"the model's configuration is {what}: the file is damaged") from error


def _check_config(config: Any) -> None:
    """Refuses what would run code from the file, or import modules that it names."""
    for part in _parts(config):
        kind, module = part.get("class_name"), part.get("module")
        if kind in _CODE:
            raise RefusedError(
                UNSUPPORTED, "the model holds a Lambda layer, which is code and not run: use other layers"
            )
        if isinstance(module, str) and module.split(".")[0] not in _HOMES and not module.startswith(_HOMES):
            what = f"the model needs {kind!r} of the module {module!r}"
            raise RefusedError(UNSUPPORTED, f"{what}: only Keras's own are supported")
        if kind in ("TFOpLambda", "SlicingOpLambda"):
            _check_function(str((part.get("config") or {}).get("function")))


def _check_function(name: str) -> None:
    if not name.startswith(_FUNCTIONS) and name not in _PLAIN:
        raise RefusedError(UNSUPPORTED, f"a layer calls tf.{name}, which no layer may call by its name")


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in the configuration."""
    pending = [value]
    while pending:
        inner = pending.pop()
        if isinstance(inner, dict):
            yield inner
            pending.extend(inner.values())
        elif isinstance(inner, list):
            pending.extend(inner)
