"""tvmopt in INT8: the network as NNCF quantises it, compiled like any other; or a model that is quantised already.

Weights have as many bits as for the peers: 8, or 7 on CPUs without VNNI, which multiply them faster. Our kernels are
exact with either.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tvmopt.benchmarks.quantized import nncf
from tvmopt.benchmarks.quantized.quantize_once import quantize_once
from tvmopt.benchmarks.quantized.weight_range import bits_of, safe_bits
from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.tvmopt.runner import RunTvmopt
from tvmopt.benchmarks.runtimes.tvmopt.transfer import RunTvmoptTransfer
from tvmopt.benchmarks.runtimes.tvmopt.untuned import RunTvmoptUntuned


def quantized_model(job: Job) -> Path:
    """The quantised network's ONNX file, which is made if it is not there."""
    if job.quantized:
        return Path(job.onnx)
    source = Path(job.onnx)
    path = Path(job.folder) / f"{source.stem}.int8.onnx"
    if not path.exists():
        quantize_once(nncf.onnx_quantizer(safe_bits()), source, Path(job.calibration), path)
    return path


class _Quantized(RunTvmoptUntuned):
    """What the three have in common: which network they compile, and what they say of it."""

    def model_file(self, job: Job) -> str:
        """The quantised network."""
        return str(quantized_model(job))

    def load(self, job: Job) -> None:
        """Loads the artifact and sets its inputs."""
        super().load(job)
        bits = bits_of(Path(job.onnx)) if job.quantized else safe_bits()
        self.settings |= {
            "quantisation": "the model's own" if job.quantized else nncf.IN_WORDS,
            "weights": f"int8 per channel, {bits} bits used",
        }


class RunTvmoptInt8Untuned(_Quantized):
    """Compiles the quantised network with default schedules."""


class RunTvmoptInt8Transfer(_Quantized, RunTvmoptTransfer):
    """Compiles the quantised network with any records that there are."""


class RunTvmoptInt8(_Quantized, RunTvmopt):
    """Compiles the quantised network with its best records."""


_PACKAGES = ("tvmopt", "apache-tvm", "nncf")
_MODULES = ("nncf",)
_PROFILER = f"{__package__}.profiler:profile_tvmopt_int8"

UNTUNED = Runtime(
    name="tvmopt-int8-untuned",
    title="tvmopt INT8 untuned",
    variant="INT8, untuned",
    about="The model quantised to INT8 by NNCF, on this project's integer kernels with default schedules.",
    packages=_PACKAGES,
    modules=_MODULES,
    extra="quantize",
    runner=RunTvmoptInt8Untuned,
    profiler=_PROFILER,
    peer=False,
    prepared="per threads",
    quantized=True,
)
TRANSFER = replace(
    UNTUNED,
    name="tvmopt-int8-transfer",
    title="tvmopt INT8 by transfer",
    about="The model quantised to INT8 by NNCF, with this project's kernels as `tvmopt compile` builds them, tuned or "
    "not.",
    runner=RunTvmoptInt8Transfer,
    uses_records=True,
    compiles=quantized_model,
    only_named=True,
)
TUNED = replace(
    TRANSFER,
    name="tvmopt-int8",
    title="tvmopt INT8 tuned",
    about="The model quantised to INT8 by NNCF, on this project's integer kernels with the best records for this "
    "machine.",
    variant="INT8, tuned",
    runner=RunTvmoptInt8,
    only_named=False,
)
