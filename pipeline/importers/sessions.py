"""onnxruntime, used as a library: quiet, on the CPU, its errors in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from pipeline.errors import UnsupportedModelError

_FATAL = 4
"""onnxruntime's severity below which nothing is logged: what matters comes back as an exception."""

FAILURES: tuple[type[Exception], ...] = (
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
"""What onnxruntime raises for a model or for inputs that it cannot take; its classes share no base of their own."""


def quiet_options(level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.SessionOptions:
    """Session options that optimise at `level` and print nothing."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = _FATAL
    return options


def open_session(
    model: onnx.ModelProto | Path, options: onnxruntime.SessionOptions | None = None, **more: Sequence[str]
) -> onnxruntime.InferenceSession:
    """A session on the CPU.

    Args:
        model: the model, or its file.
        options: by default nothing is optimised, so that the model runs as it is written.
        more: further arguments of `onnxruntime.InferenceSession`.

    Raises:
        UnsupportedModelError: onnxruntime refuses the model.
    """
    if options is None:
        options = quiet_options(onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    content = str(model) if isinstance(model, Path) else model.SerializeToString()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"], **more)
    except FAILURES as error:
        raise UnsupportedModelError(f"onnxruntime refuses the model: {one_line(error)}") from error


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
    session = open_session(model)
    names = list(outputs) if outputs is not None else [output.name for output in session.get_outputs()]
    try:
        values = session.run(names, dict(inputs))
    except FAILURES as error:
        raise UnsupportedModelError(f"onnxruntime cannot run the model: {one_line(error)}") from error
    return dict(zip(names, values, strict=True))


def one_line(error: BaseException, limit: int = 300) -> str:
    """The message of `error` without line breaks, and cut where it is longer than `limit` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else f"{text[:limit]}…"
