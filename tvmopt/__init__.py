"""Tunes trained networks for one target with Apache TVM, compiles them, and compares them with their peers.

The public names, in the order of a model's journey: `load_model`, `parse_target`, `extract_tasks`, `tune`,
`compile_model`, `load_artifact`. Each is imported when it is first used, so that ``import tvmopt`` is instant and
loads no framework that a program does not need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tvmopt.pipeline.artifact.loaded import LoadedArtifact as LoadedArtifact
    from tvmopt.pipeline.artifact.loaded import load_artifact as load_artifact
    from tvmopt.pipeline.compiler.compile import CompileReport as CompileReport
    from tvmopt.pipeline.compiler.compile import compile_model as compile_model
    from tvmopt.pipeline.errors import TvmoptError as TvmoptError
    from tvmopt.pipeline.importers import example_inputs as example_inputs
    from tvmopt.pipeline.importers import load_model as load_model
    from tvmopt.pipeline.records.store import RecordStore as RecordStore
    from tvmopt.pipeline.tasks.extract import extract_tasks as extract_tasks
    from tvmopt.pipeline.tuning.search import TuneOptions as TuneOptions
    from tvmopt.pipeline.tuning.search import TuneSummary as TuneSummary
    from tvmopt.pipeline.tuning.search import tune as tune
    from tvmopt.pipeline.types import ImportedModel as ImportedModel
    from tvmopt.pipeline.types import Task as Task
    from tvmopt.schedules.target import Target as Target
    from tvmopt.schedules.target import parse_target as parse_target

__version__ = "0.1.0"

_HOMES = {
    "CompileReport": "tvmopt.pipeline.compiler.compile",
    "ImportedModel": "tvmopt.pipeline.types",
    "LoadedArtifact": "tvmopt.pipeline.artifact.loaded",
    "RecordStore": "tvmopt.pipeline.records.store",
    "Target": "tvmopt.schedules.target",
    "Task": "tvmopt.pipeline.types",
    "TuneOptions": "tvmopt.pipeline.tuning.search",
    "TuneSummary": "tvmopt.pipeline.tuning.search",
    "TvmoptError": "tvmopt.pipeline.errors",
    "compile_model": "tvmopt.pipeline.compiler.compile",
    "example_inputs": "tvmopt.pipeline.importers",
    "extract_tasks": "tvmopt.pipeline.tasks.extract",
    "load_artifact": "tvmopt.pipeline.artifact.loaded",
    "load_model": "tvmopt.pipeline.importers",
    "parse_target": "tvmopt.schedules.target",
    "tune": "tvmopt.pipeline.tuning.search",
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
