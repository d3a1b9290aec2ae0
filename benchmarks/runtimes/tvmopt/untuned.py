"""tvmopt without tuning: every kernel uses its template's default schedule."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, Runtime

if TYPE_CHECKING:
    from tvmopt.pipeline.compiler.compile import CompileReport
    from tvmopt.pipeline.records.lookup import Records

ARTIFACT = "model.tar"
"""The compiled model's name in a job's folder."""

_NOTES = "notes.json"


class RunTvmoptUntuned:
    """Compiles with default schedules and runs the artifact."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.artifact: Any = None
        self._outputs: tuple[str, ...] = ()

    def open_library(self) -> None:
        """Imports the loader of artifacts, as a deployed program does."""
        import tvmopt.pipeline.artifact.format  # noqa: F401

    def prepare(self, job: Job) -> None:
        """Compiles the model into the job's folder."""
        self.compile(job, None)

    def compile(self, job: Job, records: Records | None) -> CompileReport:
        """Compiles the model with `records`, if any, and notes the origins of the kernels' configs."""
        from tvmopt.pipeline.compiler.compile import compile_model
        from tvmopt.pipeline.importers import load_model
        from tvmopt.schedules.target import parse_target

        target = parse_target("llvm", job.threads)
        folder = Path(job.folder)
        model = load_model(self.model_file(job), inputs=job.load_inputs())
        report = compile_model(model, target, records, folder / ARTIFACT)
        counts = Counter(choice.origin for choice in report.choices)
        moved = f"{counts['transfer']} by transfer from related records, " if counts["transfer"] else ""
        notes = {
            "target": target.key,
            "kernels": f"{len(report.choices)}, of them {counts['record']} from records, {moved}"
            "the rest by their default schedule",
            "layers without a template": ", ".join(report.imported_layers) or "none",
        }
        (folder / _NOTES).write_text(json.dumps(notes))
        return report

    def model_file(self, job: Job) -> str:
        """The file that is compiled."""
        return job.onnx

    def load(self, job: Job) -> None:
        """Loads the artifact and sets its inputs."""
        from tvmopt.pipeline.artifact.loaded import load_artifact

        folder = Path(job.folder)
        self.artifact = load_artifact(folder / ARTIFACT)
        self.set_inputs(job.load_inputs())
        self._outputs = job.outputs
        self.settings |= {**_notes(folder), "threads": str(job.threads)}

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Copies other inputs to the model's memory."""
        self.artifact.set_inputs(inputs)

    def run(self) -> None:
        """One inference on the current inputs."""
        self.artifact.run_only()

    def read_outputs(self) -> list[np.ndarray]:
        """The last run's outputs."""
        outputs = self.artifact.outputs()
        return [np.array(outputs[name]) for name in self._outputs]


def _notes(folder: Path) -> dict[str, str]:
    """The notes from compiling; empty for an artifact that was compiled elsewhere."""
    notes = folder / _NOTES
    return dict(json.loads(notes.read_text())) if notes.exists() else {}


RUNTIME = Runtime(
    name="tvmopt-untuned",
    title="tvmopt untuned",
    variant="FP32, untuned",
    about="This project's kernels with default schedules, untuned; run by the runtime linked into them.",
    packages=("tvmopt", "apache-tvm"),
    modules=("tvm",),
    runner=RunTvmoptUntuned,
    profiler=f"{__package__}.profiler:profile_tvmopt",
    peer=False,
    prepared="per threads",
)
