"""Converts a model of TensorFlow, Keras or TFLite to ONNX, and runs it; run by the Python that has TensorFlow.

Arguments: the form (``saved_model``, ``graph``, ``keras`` or ``tflite``), the path, and JSON: ``shapes`` by input,
``run`` and ``inputs``, a file of arrays to run on or empty. Writes into the working directory ``model.onnx``,
``arrays.npz`` (``input:NAME``, ``output:NAME`` and, inside of the model, ``value:NAME``) and ``facts.json``; or
``error.txt``, and exits with 3 (the file cannot be read) or 4 (the model is not supported).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

_SETTINGS = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # results do not depend on how many threads there are
    "CUDA_VISIBLE_DEVICES": "",
}
"""TensorFlow reads them when it is imported."""

OPSET = 18
"""The newest that tf2onnx writes."""

UNREADABLE, UNSUPPORTED = 3, 4


def main(form: str, path: str, asked: dict[str, Any]) -> int:
    """Converts the model; returns the exit code."""
    os.environ |= _SETTINGS
    from tensorflow_forms import convert
    from tensorflow_values import RefusedError, number_nodes
    from tf2onnx.graph import Node

    number_nodes(Node)
    try:
        converted = convert(form, path, asked)
    except RefusedError as error:
        return _failed(error.code, str(error))
    except MemoryError:
        raise
    except Exception as error:  # a damaged or hostile file makes the frameworks raise anything
        return _failed(UNREADABLE, f"{type(error).__name__}: {error}")
    converted.write(Path.cwd())
    return 0


def _failed(code: int, message: str) -> int:
    Path("error.txt").write_text(" ".join(message.split())[:2000], encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
