"""TensorFlow with XLA: as `runner`, but the whole function is compiled for its sizes (``jit_compile=True``)."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.benchmarks.runtimes.tensorflow.runner import RUNTIME as PLAIN
from tvmopt.benchmarks.runtimes.tensorflow.runner import RunTensorflow


class RunTensorflowXla(RunTensorflow):
    """Compiles the function when it first runs."""

    xla = True


RUNTIME = replace(
    PLAIN,
    name="tensorflow-xla",
    title="TensorFlow XLA",
    variant="FP32, XLA on",
    about="TensorFlow with the whole function compiled by XLA; only for TensorFlow and Keras models.",
    runner=RunTensorflowXla,
    profiler="",
    unprofiled="XLA compiles the whole network into one function",
)
