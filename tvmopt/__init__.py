"""Tunes trained networks for one target with Apache TVM, compiles them, and compares them with their peers.

The public names, in the order of a model's journey: `load_model`, `parse_target`, `extract_tasks`, `tune`,
`compile_model`, `load_artifact`. Each is imported when it is first used, so that ``import tvmopt`` is instant and
loads no framework that a program does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.artifact import LoadedArtifact as LoadedArtifact
    from pipeline.artifact import load_artifact as load_artifact
    from pipeline.compile import CompileReport as CompileReport
    from pipeline.compile import compile_model as compile_model
    from pipeline.errors import TvmoptError as TvmoptError
    from pipeline.importers import example_inputs as example_inputs
    from pipeline.importers import load_model as load_model
    from pipeline.records import RecordStore as RecordStore
    from pipeline.tasks import extract_tasks as extract_tasks
    from pipeline.tuning.search import TuneOptions as TuneOptions
    from pipeline.tuning.search import TuneSummary as TuneSummary
    from pipeline.tuning.search import tune as tune
    from pipeline.types import ImportedModel as ImportedModel
    from pipeline.types import Task as Task
    from schedules.target import Target as Target
    from schedules.target import parse_target as parse_target

__version__ = "0.1.0"

_HOMES = {
    "CompileReport": "pipeline.compile",
    "ImportedModel": "pipeline.types",
    "LoadedArtifact": "pipeline.artifact",
    "RecordStore": "pipeline.records",
    "Target": "schedules.target",
    "Task": "pipeline.types",
    "TuneOptions": "pipeline.tuning.search",
    "TuneSummary": "pipeline.tuning.search",
    "TvmoptError": "pipeline.errors",
    "compile_model": "pipeline.compile",
    "example_inputs": "pipeline.importers",
    "extract_tasks": "pipeline.tasks",
    "load_artifact": "pipeline.artifact",
    "load_model": "pipeline.importers",
    "parse_target": "schedules.target",
    "tune": "pipeline.tuning.search",
}
"""Which module defines each public name; the imports above say the same to type checkers."""

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
