"""Converts a model to ONNX, and runs it in its framework: in a process of the Python that has TensorFlow."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf comes without types

from tvmopt.pipeline.devices.environments.places import require_python
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.devices.environments.run_script import Call, Limits, ScriptError, run_script
from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers.base import OnnxForm
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest, input_dims
from tvmopt.pipeline.importers.tensorflow.look import form_of
from tvmopt.pipeline.support.npz import load_arrays, save_arrays
from tvmopt.pipeline.types import ModelSource

Arrays = Mapping[str, np.ndarray]

ENVIRONMENT = "tensorflow"
_SCRIPT = Path(__file__).with_name("scripts") / "tensorflow_to_onnx.py"
_TIME_S = 1200.0
_MEMORY_BYTES = 4 << 30
_MEMORY_TIMES = 16
"""TensorFlow alone takes up to a GiB; the rest grows with the file, of which there are several copies on the way."""

_GIVEN = "given.npz"
_UNREADABLE = 3
"""The script's exit code for a file that cannot be read."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What the framework did.

    Attributes:
        framework: its name and version.
        values: what it computed inside the model, by name, in its own layout.
        unrun: why it did not run; empty where it ran, or was not asked to.
        hybrid: whether it rounds what layers read, as the ONNX model does not say.
    """

    framework: str
    values: Arrays
    unrun: str
    hybrid: bool


def import_model(source: ModelSource, request: ShapeRequest, run: bool) -> OnnxForm:
    """Converts the model that `source` names.

    Args:
        source: a file of TensorFlow, Keras or TFLite.
        request: shapes of its inputs; open batches are 1 where it gives none.
        run: whether the framework runs the model once, on random inputs.

    Returns:
        The ONNX form; its program is what `Ran` describes.

    Raises:
        InputFileError: the file is damaged, of another kind or hostile.
        UnsupportedModelError: it has operators without an ONNX form, or takes too much time or memory.
        RuntimeMissingError: no Python has TensorFlow and tf2onnx; says how to get them.
    """
    return _convert(source, request, run, {})


def run_model(source: ModelSource, inputs: Arrays) -> OnnxForm:
    """As `import_model`, but the framework runs the model on `inputs`, an array for each input of the ONNX form."""
    shapes = {name: array.shape for name, array in inputs.items()}
    return _convert(source, ShapeRequest(shapes), True, inputs)


def _convert(source: ModelSource, request: ShapeRequest, run: bool, inputs: Arrays) -> OnnxForm:
    form = form_of(source.path)
    python = require_python(find_environment(ENVIRONMENT))
    path = source.path.resolve()
    shapes = {name: list(shape) for name, shape in request.shapes.items()}
    asked = {"shapes": shapes, "run": run, "inputs": _GIVEN if inputs else ""}
    limits = Limits(_TIME_S, _MEMORY_BYTES + _MEMORY_TIMES * _size(path, form))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if inputs:
            save_arrays(folder / _GIVEN, inputs)
        arguments = (form, str(path.parent if form == "saved_model" else path), json.dumps(asked))
        try:
            run_script(python, Call(_SCRIPT, arguments, folder), limits)
        except ScriptError as error:
            raise _error(error, folder) from error
        return _read(folder, request)


def _size(path: Path, form: str) -> int:
    files = path.parent.rglob("*") if form == "saved_model" else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def _error(error: ScriptError, folder: Path) -> InputFileError | UnsupportedModelError:
    """What the script wrote before it ended, else how it ended."""
    kind = InputFileError if error.status == _UNREADABLE else UnsupportedModelError
    written = folder / "error.txt"
    said = written.read_text(encoding="utf-8", errors="replace") if written.is_file() else ""
    return kind(said or f"the conversion failed: {error}")


def _read(folder: Path, request: ShapeRequest) -> OnnxForm:
    try:
        model = onnx.ModelProto.FromString((folder / "model.onnx").read_bytes())
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        groups: dict[str, dict[str, Any]] = {"input": {}, "output": {}, "value": {}}
        for title, array in load_arrays(folder / "arrays.npz").items():
            group, _, name = title.partition(":")
            groups[group][name] = array
    except (OSError, ValueError, KeyError, DecodeError) as error:
        raise UnsupportedModelError(f"the conversion wrote no whole model: {type(error).__name__}") from error
    ran = Ran(facts["framework"], groups["value"], facts["unrun"], facts["hybrid"])
    defaults = {**_defaults(model), **request.defaults}
    return OnnxForm(model, replace(request, defaults=defaults), groups["input"], groups["output"], ran)


def _defaults(model: onnx.ModelProto) -> dict[str, tuple[int, ...]]:
    """A batch of 1 for the inputs of which nothing else is open."""
    shapes = {value.name: input_dims(value) for value in model.graph.input}
    return {
        name: (1, *(size for size in shape[1:] if isinstance(size, int)))
        for name, shape in shapes.items()
        if shape and isinstance(shape[0], str) and all(isinstance(size, int) for size in shape[1:])
    }
