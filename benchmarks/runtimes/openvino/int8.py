"""OpenVINO in INT8: post-training quantisation with NNCF, or a model that is quantised already.

NNCF's defaults for CNNs (`benchmarks.quantized.nncf`). Its overflow fix (7-bit weights) is on only if the CPU has no
VNNI, since 8-bit products then saturate; elsewhere it would only cost accuracy. A row of its own, which takes part
where it is named, shows what 8-bit weights do on such a CPU.
"""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from tvmopt.benchmarks.quantized import nncf
from tvmopt.benchmarks.quantized.quantize_once import Feed, Quantizer, quantize_once
from tvmopt.benchmarks.quantized.weight_range import bits_of, in_words, safe_bits
from tvmopt.benchmarks.runtimes.base import Job, Runtime, saturating_only
from tvmopt.benchmarks.runtimes.openvino.runner import CHOICES, RunOpenvino

_FILES = ("quantized.xml", "quantized.bin")
_TAR = "quantized.tar"


class RunOpenvinoInt8(RunOpenvino):
    """Quantises a model with NNCF and runs the result; weights have `bits`, 0 for those that are safe here."""

    def __init__(self, bits: int = 0) -> None:
        super().__init__()
        self._bits = bits

    def prepare(self, job: Job) -> None:
        """Calibrates and writes the quantised model into the job's folder."""
        if job.quantized:
            return
        folder = Path(job.folder)
        quantize_once(_quantizer(self._bits or safe_bits()), Path(job.onnx), Path(job.calibration), folder / _TAR)
        with tarfile.open(folder / _TAR) as tar:
            for name in _FILES:
                tar.extract(name, folder, filter="data")

    def load(self, job: Job) -> None:
        """Compiles the quantised model."""
        super().load(job)
        bits = bits_of(Path(job.onnx)) if job.quantized else self._bits or safe_bits()
        self.settings |= {
            "inference precision": "int8, f32 where not quantised",
            "quantisation": "the model's own" if job.quantized else nncf.IN_WORDS,
            **in_words(bits),
        }

    def model_file(self, job: Job) -> str:
        """The quantised model."""
        return job.onnx if job.quantized else str(Path(job.folder) / _FILES[0])


def _quantizer(bits: int) -> Quantizer:
    """NNCF on OpenVINO's form of a model; the two files of the result are in a tar."""

    def make(source: Path, feeds: Sequence[Feed], path: Path) -> None:
        import onnx
        import openvino

        from tvmopt.pipeline.quantize.float_form import has_attention

        transformer = has_attention(onnx.load(source, load_external_data=False))
        quantized = nncf.quantize(openvino.Core().read_model(source), feeds, bits, transformer)
        openvino.save_model(quantized, path.with_name(_FILES[0]), compress_to_fp16=False)
        with tarfile.open(path, "w") as tar:
            for name in _FILES:
                tar.add(path.with_name(name), name)

    return Quantizer("nncf-openvino", nncf.PACKAGES, (f"{bits} bits",), make)


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

SATURATING = replace(
    RUNTIME,
    name="openvino-int8-saturating",
    title="OpenVINO INT8 (saturates)",
    variant="INT8, saturates",
    about="As OpenVINO INT8, but with 8-bit weights on a CPU without VNNI, whose sums of products are cut off.",
    runner=partial(RunOpenvinoInt8, 8),
    profiler="",
    unprofiled=f"its kernels are those of {RUNTIME.name}: profile that",
    only_named=True,
    unfit=saturating_only,
    choices=(),
)
