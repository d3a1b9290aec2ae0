"""Tunes trained networks for one target with Apache TVM, compiles them, and compares them with their peers.

Each command is also a function: `inspect`, `quantize`, `tune`, `compile`, `run`, `profile`, `verify`, `compare`,
`evaluate` and `report` take a job (`TuneJob`, …) and a `Listener`, which receives progress and may cancel. The
functions below them, in the order of a model's journey: `load_model`, `parse_target`, `extract_tasks`, `compile_model`,
`load_artifact`. Names are imported on first use, so ``import tvmopt`` is instant and loads no framework that a program
does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvmopt.jobs.comparing import CompareJob as CompareJob
    from tvmopt.jobs.comparing import compare as compare
    from tvmopt.jobs.compiling import CompileJob as CompileJob
    from tvmopt.jobs.compiling import CompileResult as CompileResult
    from tvmopt.jobs.compiling import compile as compile
    from tvmopt.jobs.evaluating import EvaluateJob as EvaluateJob
    from tvmopt.jobs.evaluating import evaluate as evaluate
    from tvmopt.jobs.inspecting import InspectJob as InspectJob
    from tvmopt.jobs.inspecting import inspect as inspect
    from tvmopt.jobs.profiling import ProfileJob as ProfileJob
    from tvmopt.jobs.profiling import profile as profile
    from tvmopt.jobs.quantizing import QuantizeJob as QuantizeJob
    from tvmopt.jobs.quantizing import QuantizeResult as QuantizeResult
    from tvmopt.jobs.quantizing import quantize as quantize
    from tvmopt.jobs.reporting import ReportJob as ReportJob
    from tvmopt.jobs.reporting import report as report
    from tvmopt.jobs.running import RunJob as RunJob
    from tvmopt.jobs.running import RunResult as RunResult
    from tvmopt.jobs.running import run as run
    from tvmopt.jobs.tuning import TuneJob as TuneJob
    from tvmopt.jobs.tuning import TuneResult as TuneResult
    from tvmopt.jobs.tuning import tune as tune
    from tvmopt.jobs.verifying import VerifyJob as VerifyJob
    from tvmopt.jobs.verifying import VerifyResult as VerifyResult
    from tvmopt.jobs.verifying import verify as verify
    from tvmopt.pipeline.artifact.loaded import LoadedArtifact as LoadedArtifact
    from tvmopt.pipeline.artifact.loaded import load_artifact as load_artifact
    from tvmopt.pipeline.compiler.compile import CompileReport as CompileReport
    from tvmopt.pipeline.compiler.compile import compile_model as compile_model
    from tvmopt.pipeline.errors import CancelledError as CancelledError
    from tvmopt.pipeline.errors import TvmoptError as TvmoptError
    from tvmopt.pipeline.importers import example_inputs as example_inputs
    from tvmopt.pipeline.importers import load_model as load_model
    from tvmopt.pipeline.records.store import RecordStore as RecordStore
    from tvmopt.pipeline.support.progress import Listener as Listener
    from tvmopt.pipeline.tasks.extract import extract_tasks as extract_tasks
    from tvmopt.pipeline.tuning.search import TuneOptions as TuneOptions
    from tvmopt.pipeline.tuning.search import TuneSummary as TuneSummary
    from tvmopt.pipeline.types import ImportedModel as ImportedModel
    from tvmopt.pipeline.types import Task as Task
    from tvmopt.schedules.target import Target as Target
    from tvmopt.schedules.target import parse_target as parse_target

__version__ = "0.1.0"

_HOMES = {
    "CancelledError": "tvmopt.pipeline.errors",
    "CompareJob": "tvmopt.jobs.comparing",
    "CompileJob": "tvmopt.jobs.compiling",
    "CompileReport": "tvmopt.pipeline.compiler.compile",
    "CompileResult": "tvmopt.jobs.compiling",
    "EvaluateJob": "tvmopt.jobs.evaluating",
    "ImportedModel": "tvmopt.pipeline.types",
    "InspectJob": "tvmopt.jobs.inspecting",
    "Listener": "tvmopt.pipeline.support.progress",
    "LoadedArtifact": "tvmopt.pipeline.artifact.loaded",
    "ProfileJob": "tvmopt.jobs.profiling",
    "QuantizeJob": "tvmopt.jobs.quantizing",
    "QuantizeResult": "tvmopt.jobs.quantizing",
    "RecordStore": "tvmopt.pipeline.records.store",
    "ReportJob": "tvmopt.jobs.reporting",
    "RunJob": "tvmopt.jobs.running",
    "RunResult": "tvmopt.jobs.running",
    "Target": "tvmopt.schedules.target",
    "Task": "tvmopt.pipeline.types",
    "TuneJob": "tvmopt.jobs.tuning",
    "TuneOptions": "tvmopt.pipeline.tuning.search",
    "TuneResult": "tvmopt.jobs.tuning",
    "TuneSummary": "tvmopt.pipeline.tuning.search",
    "TvmoptError": "tvmopt.pipeline.errors",
    "VerifyJob": "tvmopt.jobs.verifying",
    "VerifyResult": "tvmopt.jobs.verifying",
    "compare": "tvmopt.jobs.comparing",
    "compile": "tvmopt.jobs.compiling",
    "compile_model": "tvmopt.pipeline.compiler.compile",
    "evaluate": "tvmopt.jobs.evaluating",
    "example_inputs": "tvmopt.pipeline.importers",
    "extract_tasks": "tvmopt.pipeline.tasks.extract",
    "inspect": "tvmopt.jobs.inspecting",
    "load_artifact": "tvmopt.pipeline.artifact.loaded",
    "load_model": "tvmopt.pipeline.importers",
    "parse_target": "tvmopt.schedules.target",
    "profile": "tvmopt.jobs.profiling",
    "quantize": "tvmopt.jobs.quantizing",
    "report": "tvmopt.jobs.reporting",
    "run": "tvmopt.jobs.running",
    "tune": "tvmopt.jobs.tuning",
    "verify": "tvmopt.jobs.verifying",
}
"""The module that defines each public name; the imports above declare the same for type checkers."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
