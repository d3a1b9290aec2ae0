"""LiteRT in INT8: a converted network, quantised by its own quantiser in the converter's environment.

Weights have 8 bits, symmetric per channel; activations are int8. XNNPACK's kernels widen to 16 bits where a CPU has no
VNNI, so nothing saturates.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tvmopt.benchmarks.quantized.quantize_once import Feed, Quantizer, quantize_once
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.litert.conversion import CONVERTER, convert_network
from tvmopt.benchmarks.runtimes.litert.runner import MODEL, RUNTIME, RunLitert
from tvmopt.benchmarks.runtimes.pytorch.exported import LIMITS
from tvmopt.pipeline.devices.environments.conversions import versions_in
from tvmopt.pipeline.devices.environments.places import require_python
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.devices.environments.run_script import Call, ScriptError, run_script
from tvmopt.pipeline.support.npz import save_arrays

_SCRIPT = Path(__file__).with_name("quantize.py")
_QUANTIZED = "quantized.tflite"
_DECIDES = ("ai-edge-quantizer", "litert-torch", "litert-converter", "torch")


class RunLitertInt8(RunLitert):
    """Converts a network, quantises the result and runs it."""

    def prepare(self, job: Job) -> None:
        """Converts and quantises the network in the converter's own environment, unless that was done before.

        Raises:
            RuntimeError: when it cannot be converted or quantised.
        """
        python = require_python(find_environment(CONVERTER))
        quantizer = Quantizer("litert-static", (), versions_in(python, _DECIDES), _quantizer(python, job))
        quantize_once(quantizer, Path(job.onnx), Path(job.calibration), Path(job.folder) / _QUANTIZED)

    def load(self, job: Job) -> None:
        """Creates the interpreter and sets its inputs."""
        super().load(job)
        self.settings |= {
            "precision": "int8",
            "quantisation": "ai-edge-quantizer, static, by the samples' range",
            "weights": "int8 per channel, 8 bits used",
        }

    def model_file(self, job: Job) -> str:
        """The quantised model."""
        return str(Path(job.folder) / _QUANTIZED)


def _quantizer(python: str, job: Job) -> Callable[[Path, Sequence[Feed], Path], None]:
    """Converts the job's network, whose ONNX form stands for it, and quantises it."""

    def make(_: Path, feeds: Sequence[Feed], path: Path) -> None:
        converted = Path(job.folder) / MODEL
        convert_network(job, converted)
        with tempfile.TemporaryDirectory(dir=job.folder) as name:
            folder = Path(name)
            stacks = {key: np.stack([last(feed[key]) for feed in feeds]) for key in feeds[0]}
            save_arrays(folder / "calibration.npz", stacks)
            arguments = (str(converted.resolve()), "calibration.npz", "quantized.tflite")
            try:
                run_script(python, Call(_SCRIPT, arguments, folder), LIMITS)
            except ScriptError as error:
                raise RuntimeError(f"ai-edge-quantizer cannot quantise it: {error}") from error
            (folder / "quantized.tflite").replace(path)

    return make


def last(array: np.ndarray) -> np.ndarray:
    """Images with channels last, as the converted model takes them."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1)) if array.ndim == 4 else array


INT8 = replace(
    RUNTIME,
    name="litert-int8",
    title="LiteRT INT8",
    variant="INT8, XNNPACK",
    about="PyTorch by litert-torch, quantised to INT8 by LiteRT's own quantiser, run like LiteRT.",
    runner=RunLitertInt8,
    peer=False,
    kinds=("pt2", "python"),
    quantized=True,
)
