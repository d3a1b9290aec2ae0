"""onnxruntime in INT8: static quantisation to QDQ form with its own tool, or a model that is quantised already.

The settings follow the guidance in `onnxruntime.quantization.quantize_static`: uint8 activations and int8 weights on
x86, int8 for both on Arm; 7-bit weights (``reduce_range``) if the CPU has no VNNI, since 8-bit products then saturate;
per-channel weights, without which networks with depthwise convolutions lose accuracy. A row of its own, which takes
part where it is named, shows what 8-bit weights do on such a CPU.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.quantized.quantize_once import Feed, Quantizer, quantize_once
from tvmopt.benchmarks.quantized.weight_range import bits_of, in_words, safe_bits
from tvmopt.benchmarks.runtimes.base import Job, Runtime, saturating_only
from tvmopt.benchmarks.runtimes.onnxruntime.runner import CHOICES, RunOnnxruntime

_FILE = "quantized.onnx"


class RunOnnxruntimeInt8(RunOnnxruntime):
    """Quantises an ONNX file with onnxruntime's tool and runs the result; weights have `bits`, 0: those safe here."""

    def __init__(self, bits: int = 0) -> None:
        super().__init__()
        self._bits = bits

    def prepare(self, job: Job) -> None:
        """Calibrates and writes the quantised model into the job's folder."""
        if not job.quantized:
            quantizer = _quantizer(self._bits or safe_bits())
            quantize_once(quantizer, Path(job.onnx), Path(job.calibration), Path(job.folder) / _FILE)

    def load(self, job: Job) -> None:
        """Creates the session of the quantised model."""
        super().load(job)
        if job.quantized:
            self.settings |= {"quantisation": "the model's own", **in_words(bits_of(Path(job.onnx)))}
            return
        self.settings |= {
            "quantisation": "static QDQ, min-max calibration",
            **in_words(self._bits or safe_bits()),
            "activations": "uint8" if _is_x86() else "int8",
        }

    def model_file(self, job: Job) -> str:
        """The quantised model."""
        return job.onnx if job.quantized else str(Path(job.folder) / _FILE)


def _quantizer(bits: int) -> Quantizer:
    """Onnxruntime's tool, with weights of so many bits."""

    def make(source: Path, feeds: Sequence[Feed], path: Path) -> None:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        logging.disable(logging.WARNING)
        prepared = path.with_name("preprocessed.onnx")
        # Symbolic shape inference is for dynamic shapes; ours are static.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            _reader(feeds),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=bits < 8,
            activation_type=QuantType.QUInt8 if _is_x86() else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        prepared.unlink()

    return Quantizer("onnxruntime-static", ("onnxruntime", "onnx"), (f"{bits} bits", platform.machine()), make)


def _reader(feeds: Sequence[Feed]) -> Any:
    """Calibration batches in the form that onnxruntime needs: an object with ``get_next``."""
    from onnxruntime.quantization import CalibrationDataReader

    class ReadBatches(CalibrationDataReader):  # type: ignore[misc]  # untyped base of a lazily imported library
        """Returns one feed after the other, then None."""

        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next feed."""
            return next(self._feeds, None)

    return ReadBatches()


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

SATURATING = replace(
    RUNTIME,
    name="onnxruntime-int8-saturating",
    title="ONNX Runtime INT8 (saturates)",
    variant="INT8, saturates",
    about="As ONNX Runtime INT8, but with 8-bit weights on a CPU without VNNI, whose sums of products are cut off.",
    runner=partial(RunOnnxruntimeInt8, 8),
    profiler="",
    unprofiled=f"its kernels are those of {RUNTIME.name}: profile that",
    only_named=True,
    unfit=saturating_only,
    choices=(),
)
