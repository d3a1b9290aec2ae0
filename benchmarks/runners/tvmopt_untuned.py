"""tvmopt without tuning: every kernel by its template's default schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runners.base import Job, Runtime

ARTIFACT = "model.tar"
"""Name of the artifact in the job's folder."""


class RunTvmoptUntuned:
    """Compiles with default schedules and runs the artifact with TVM's runtime alone."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._load_artifact: Any = None
        self._artifact: Any = None
        self._outputs: tuple[str, ...] = ()

    def open_library(self) -> None:
        """Imports the artifact loader, which brings TVM's runtime without its compiler."""
        from pipeline.artifact import load_artifact

        self._load_artifact = load_artifact

    def prepare(self, job: Job) -> None:
        """Compiles the model into the job's folder."""
        self.compile(job, store=None)

    def compile(self, job: Job, store: Any) -> Any:
        """Compiles the model with the records of `store`, or none, and returns the compiler's report."""
        from pipeline.compile import compile_model
        from pipeline.importers import load_model
        from schedules.target import parse_target

        target = parse_target("llvm", job.threads)
        return compile_model(load_model(job.onnx), target, store, Path(job.folder) / ARTIFACT)

    def load(self, job: Job) -> None:
        """Loads the artifact and sets its inputs."""
        self._artifact = self._load_artifact(Path(job.folder) / ARTIFACT)
        self._artifact.set_inputs(job.load_inputs())
        self._outputs = job.outputs
        self.settings |= {"target": "llvm", "threads": str(job.threads), "schedules": "defaults, none tuned"}

    def run(self) -> None:
        """One inference on the inputs that are set."""
        self._artifact.run_only()

    def read_outputs(self) -> list[np.ndarray]:
        """The last run's outputs."""
        outputs = self._artifact.outputs()
        return [np.array(outputs[name]) for name in self._outputs]


RUNTIME = Runtime(
    name="tvmopt-untuned",
    title="tvmopt untuned",
    variant="FP32, untuned",
    about="This project's kernels by their default schedules, no tuning; run with TVM's runtime.",
    distributions=("tvmopt", "apache-tvm"),
    modules=("tvm",),
    install="pip install tvmopt",
    runner=RunTvmoptUntuned,
    prepared="per threads",
)
