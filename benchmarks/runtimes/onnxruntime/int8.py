"""onnxruntime in INT8: static quantisation to QDQ form with its own tool.

The settings follow the guidance in `onnxruntime.quantization.quantize_static`: uint8 activations and int8 weights on
x86, int8 for both on Arm; 7-bit weights (``reduce_range``) if the CPU has no VNNI, since 8-bit products then saturate;
per-channel weights, without which networks with depthwise convolutions lose accuracy.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.machine.environment import has_int8_dot_product
from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.onnxruntime.runner import CHOICES, RunOnnxruntime
from tvmopt.pipeline.support.npz import load_arrays

_FILE = "quantized.onnx"


class RunOnnxruntimeInt8(RunOnnxruntime):
    """Quantises an ONNX file with onnxruntime's tool and runs the result."""

    def prepare(self, job: Job) -> None:
        """Calibrates and writes the quantised model into the job's folder."""
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        logging.disable(logging.WARNING)
        folder = Path(job.folder)
        prepared = folder / "preprocessed.onnx"
        # Symbolic shape inference is for dynamic shapes; ours are static.
        quant_pre_process(job.onnx, prepared, skip_symbolic_shape=True)
        activations = QuantType.QUInt8 if _is_x86() else QuantType.QInt8
        quantize_static(
            prepared,
            folder / _FILE,
            _reader(load_arrays(job.calibration)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=not has_int8_dot_product(),
            activation_type=activations,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        prepared.unlink()

    def load(self, job: Job) -> None:
        """Creates the session of the quantised model."""
        super().load(job)
        self.settings |= {
            "quantisation": "static QDQ, min-max calibration",
            "weights": f"int8 per channel, {8 if has_int8_dot_product() else 7} bits used",
            "activations": "uint8" if _is_x86() else "int8",
        }

    def model_file(self, job: Job) -> str:
        """The quantised model."""
        return str(Path(job.folder) / _FILE)


def _reader(batches: Mapping[str, np.ndarray]) -> Any:
    """Calibration batches in the form that onnxruntime needs: an object with ``get_next``."""
    from onnxruntime.quantization import CalibrationDataReader

    class ReadBatches(CalibrationDataReader):  # type: ignore[misc]  # untyped base of a lazily imported library
        """Returns one feed after the other, then None."""

        def __init__(self) -> None:
            self._feeds = iterate_feeds(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next feed."""
            return next(self._feeds, None)

    return ReadBatches()


def iterate_feeds(batches: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """One feed for each of the stacked calibration batches."""
    count = min(len(stack) for stack in batches.values())
    return ({name: stack[index] for name, stack in batches.items()} for index in range(count))


def _is_x86() -> bool:
    return platform.machine() in ("x86_64", "AMD64")


RUNTIME = Runtime(
    name="onnxruntime-int8",
    title="ONNX Runtime INT8",
    variant="INT8",
    about="The model quantised to INT8 by ONNX Runtime's static quantisation (QDQ), run like ONNX Runtime.",
    packages=("onnxruntime", "onnx"),
    modules=("onnxruntime", "onnx"),
    runner=RunOnnxruntimeInt8,
    profiler=f"{__package__}.profiler:profile_onnxruntime_int8",
    peer=False,
    prepared="per batch",
    quantized=True,
    choices=CHOICES,
)
