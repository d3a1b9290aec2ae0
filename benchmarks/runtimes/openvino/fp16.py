"""OpenVINO in FP16: weights stored in 16 bits, computed in 16 bits where the CPU can.

The CPU device follows the hint only on processors that have 16-bit arithmetic (AVX512-FP16, AMX-FP16, Arm); on others
it computes in f32 from the 16-bit weights. The settings say which it was.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.openvino.runner import CHOICES, RunOpenvino

_FILE = "half.xml"


class RunOpenvinoFp16(RunOpenvino):
    """Stores a model with weights of 16 bits and runs the result."""

    def prepare(self, job: Job) -> None:
        """Writes the model with 16-bit weights into the job's folder."""
        import openvino

        openvino.save_model(openvino.Core().read_model(job.onnx), Path(job.folder) / _FILE, compress_to_fp16=True)

    def load(self, job: Job) -> None:
        """Compiles the stored model."""
        super().load(job)
        used = self.compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.settings |= {
            "inference precision": "f16" if used == "f16" else f"{used}: f16 asked for, this CPU computes in {used}",
            "weights": "f16",
        }

    def properties(self, job: Job) -> dict[str, Any]:
        """The device's properties."""
        return super().properties(job) | {"INFERENCE_PRECISION_HINT": "f16"}

    def model_file(self, job: Job) -> str:
        """The stored model."""
        return str(Path(job.folder) / _FILE)


RUNTIME = Runtime(
    name="openvino-fp16",
    title="OpenVINO FP16",
    variant="FP16",
    about="OpenVINO with weights of 16 bits and 16-bit arithmetic where the CPU has it (else f32), run like OpenVINO.",
    packages=("openvino",),
    modules=("openvino",),
    extra="openvino",
    runner=RunOpenvinoFp16,
    unprofiled="its kernels are those of openvino: profile that",
    peer=False,
    prepared="per batch",
    half=True,
    choices=CHOICES,
)
