"""Uses onnxruntime as a library: quiet, on the CPU, with errors of one line."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.support.files import temporary_full
from tvmopt.pipeline.support.messages import cut, joined
from tvmopt.pipeline.support.weights.light_model import WEIGHTS, weights_nbytes, without_weights
from tvmopt.pipeline.support.weights.parked import folder_of

_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Non-zero status code returned while running |\S+\.(h|cc):\d+ .*?\)\s"
)
"""What onnxruntime puts before its actual message: codes, places in its source."""

_STATUS = re.compile(r"(\w+) node\. Name:'(.*?)' Status Message:")
"""The part of its message that names the node."""

_FATAL = 4
"""onnxruntime's severity below which nothing is logged: errors come back as exceptions."""


_LARGE_BYTES = 1 << 25
"""Models with more weights are given to onnxruntime as files."""

_INEXACT = ["WeightBiasQuantization"]
"""Optimisations that change values: this one rounds biases of quantised layers to integers."""

_UNSAVED = "Protobuf serialization failed"
"""What onnxruntime says when it cannot write the optimised model."""

_TRIED_BYTES = 1 << 20


def open_session(model: onnx.ModelProto, level: str = "ORT_DISABLE_ALL", save_to: Path | None = None) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU.

    Args:
        model: what to run.
        level: the name of onnxruntime's optimisation level; by default the model runs as it is written.
        save_to: file to which the optimised model is written.

    Raises:
        UnsupportedModelError: onnxruntime refuses the model.
        InputFileError: it cannot be written: the disk is full.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    options.log_severity_level = _FATAL
    # Threads that spin while they wait do not pay off for a few runs, and other work needs the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if weights_nbytes(model) >= _LARGE_BYTES:
        # Weights in another order would be one more copy of them.
        options.add_session_config_entry("session.disable_prepacking", "1")
    if save_to is not None:
        options.optimized_model_filepath = str(save_to)
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
        try:
            return onnxruntime.InferenceSession(
                _given(model, Path(folder) if save_to is None else save_to.parent),
                options,
                providers=["CPUExecutionProvider"],
                enable_fallback=0,  # the fallback prints, and tries the same once more
                disabled_optimizers=_INEXACT,
            )
        except _failures() as error:
            if save_to is not None and _UNSAVED in str(error):
                _try_to_write(save_to.parent)
            raise UnsupportedModelError(f"onnxruntime refuses the model: {_plain(error)}") from error


def _try_to_write(folder: Path) -> None:
    """Finds out why onnxruntime could not write a model into `folder`: it does not say.

    Raises:
        InputFileError: the disk is full, or files may not be as large.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_TRIED_BYTES))
    except OSError as error:
        raise temporary_full(error) from error


def _given(model: onnx.ModelProto, folder: Path) -> bytes | str:
    """`model` for onnxruntime: as bytes, or as a file in `folder` if it is large.

    From bytes, onnxruntime makes two copies of the weights; those in a file beside the model it only maps into memory.
    """
    if weights_nbytes(model) < _LARGE_BYTES and folder_of(model) is None:
        content: bytes = model.SerializeToString()
        return content
    path = folder / "model.onnx"
    path.write_bytes(without_weights(model, folder / WEIGHTS).SerializeToString())
    return str(path)


def run_model(
    model: onnx.ModelProto, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Runs `model` once, as it is written.

    Args:
        model: what to run.
        inputs: an array for each of its inputs.
        outputs: names of the outputs wanted; all of them by default.

    Raises:
        UnsupportedModelError: onnxruntime refuses the model or fails at one of its layers.
    """
    return run_session(open_session(model), inputs, outputs)


def run_session(
    session: Any, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """As `run_model`, in a session from `open_session`."""
    names = list(outputs) if outputs is not None else [output.name for output in session.get_outputs()]
    if not names:  # onnxruntime would compute all of them
        return {}
    try:
        values = session.run(names, dict(inputs))
    except _failures() as error:
        raise UnsupportedModelError(f"onnxruntime cannot run the model: {_plain(error)}") from error
    return dict(zip(names, values, strict=True))


def _failures() -> tuple[type[Exception], ...]:
    """The exceptions that onnxruntime raises for a model or inputs that it refuses; they have no common base class."""
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    return (
        native.EPFail,
        native.Fail,
        native.InvalidArgument,
        native.InvalidGraph,
        native.InvalidProtobuf,
        native.NotImplemented,
        native.RuntimeException,
        RuntimeError,
        ValueError,
    )


def _plain(error: BaseException) -> str:
    """The message from onnxruntime, without codes and places in its own source."""
    return cut(_STATUS.sub(r"at layer '\2' (\1):", _NOISE.sub("", joined(error))))
