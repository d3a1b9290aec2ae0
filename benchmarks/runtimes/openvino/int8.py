"""OpenVINO in INT8: post-training quantisation with NNCF.

NNCF's defaults for CNNs (performance preset, fast bias correction). Its overflow fix (7-bit weights) is on, for all
layers, only if the CPU has no VNNI, since 8-bit products then saturate; elsewhere it would only cost accuracy.
"""

from __future__ import annotations

import logging
from pathlib import Path

from tvmopt.benchmarks.machine.environment import has_int8_dot_product
from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.onnxruntime.int8 import iterate_feeds
from tvmopt.benchmarks.runtimes.openvino.runner import CHOICES, RunOpenvino
from tvmopt.pipeline.support.npz import load_arrays

_FILE = "quantized.xml"


class RunOpenvinoInt8(RunOpenvino):
    """Quantises a model with NNCF and runs the result."""

    def prepare(self, job: Job) -> None:
        """Calibrates and writes the quantised model into the job's folder."""
        import nncf
        import openvino

        logging.getLogger("nncf").setLevel(logging.ERROR)
        feeds = list(iterate_feeds(load_arrays(job.calibration)))
        fix = nncf.OverflowFix.DISABLE if has_int8_dot_product() else nncf.OverflowFix.ENABLE
        quantized = nncf.quantize(
            openvino.Core().read_model(job.onnx),
            nncf.Dataset(feeds),
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(feeds),
            advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=fix),
        )
        openvino.save_model(quantized, Path(job.folder) / _FILE, compress_to_fp16=False)

    def load(self, job: Job) -> None:
        """Compiles the quantised model."""
        super().load(job)
        self.settings |= {
            "inference precision": "int8, f32 where not quantised",
            "quantisation": "NNCF post-training, performance preset, fast bias correction",
            "weights": f"int8 per channel, {8 if has_int8_dot_product() else 7} bits used",
        }

    def model_file(self, job: Job) -> str:
        """The quantised model."""
        return str(Path(job.folder) / _FILE)


RUNTIME = Runtime(
    name="openvino-int8",
    title="OpenVINO INT8",
    variant="INT8",
    about="The model quantised to INT8 by NNCF's post-training quantisation, run like OpenVINO.",
    packages=("openvino", "nncf"),
    modules=("openvino", "nncf"),
    extra="openvino",
    runner=RunOpenvinoInt8,
    profiler=f"{__package__}.profiler:profile_openvino_int8",
    peer=False,
    prepared="per batch",
    quantized=True,
    choices=CHOICES,
)
