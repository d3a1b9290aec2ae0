"""onnxruntime, used as a library: quiet, on the CPU, its errors in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as native

from pipeline.errors import UnsupportedModelError

_NOISE = re.compile(
    r"\[ONNXRuntimeError\] : \d+ : \w+ : |Non-zero status code returned while running |\S+\.(h|cc):\d+ .*?\)\s"
)
"""What onnxruntime puts before what it has to say: codes, places in its source."""

_STATUS = re.compile(r"(\w+) node\. Name:'(.*?)' Status Message:")
"""How it says which node it was at."""

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
        # Without fallback: it would print, and try the same once more.
        return onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"], enable_fallback=0, **more
        )
    except FAILURES as error:
        raise UnsupportedModelError(f"onnxruntime refuses the model: {_plain(error)}") from error


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
    if not names:  # onnxruntime would take that for all of them
        return {}
    try:
        values = session.run(names, dict(inputs))
    except FAILURES as error:
        raise UnsupportedModelError(f"onnxruntime cannot run the model: {_plain(error)}") from error
    return dict(zip(names, values, strict=True))


def _plain(error: BaseException) -> str:
    """What onnxruntime says, without codes and places in its own source."""
    return _cut(_STATUS.sub(r"at layer '\2' (\1):", _NOISE.sub("", _joined(error))))


def one_line(error: BaseException, limit: int = 300) -> str:
    """The message of `error` without line breaks, and cut where it is longer than `limit` characters."""
    return _cut(_joined(error), limit)


def _joined(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _cut(text: str, limit: int = 300) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
