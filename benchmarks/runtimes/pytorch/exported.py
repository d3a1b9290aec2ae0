"""Exports PyTorch networks, and has converters of other runtimes take them, in environments of their own; each once."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tvmopt.benchmarks.machine.environment import package_versions
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.pytorch.runner import load_network
from tvmopt.pipeline.devices.environments.conversions import ConversionError, convert_once, versions_in
from tvmopt.pipeline.devices.environments.places import require_python
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.devices.environments.run_script import Call, Limits, run_script
from tvmopt.pipeline.importers.recalling.file_hash import hash_of, map_files
from tvmopt.pipeline.support.cache import digest

LIMITS = Limits(time_s=600.0, memory_bytes=16 << 30)
"""Of a conversion."""
_PROGRAM, _MODEL = "program.pt2", "model"


@dataclass(frozen=True, slots=True)
class Converter:
    """A converter of exported programs.

    Attributes:
        environment: the name of its environment.
        title: what messages call it.
        script: what the environment's Python runs; its arguments are the program (``.pt2``), the model to write, and
            the ranks of the program's inputs as JSON.
        decides: the packages of the environment that decide what is made.
        suffix: of the model's file.
    """

    environment: str
    title: str
    script: Path
    decides: tuple[str, ...]
    suffix: str


def convert_network(converter: Converter, job: Job, path: Path) -> None:
    """Writes the job's network to `path` as `converter` makes it.

    Raises:
        RuntimeError: the converter does not take it.
        RuntimeMissingError: its environment is not there; says how to get it.
    """
    python = require_python(find_environment(converter.environment))
    model = Path(job.onnx)
    files = [file for file in (model, model.with_name(f"{model.name}.data")) if file.exists()]
    # The ONNX form stands for the network: equal ones compute the same.
    made_from = hash_of(map_files(files)), hash_of(map_files([converter.script]))
    key = digest(*made_from, versions_in(python, converter.decides), package_versions(("torch",)))
    try:
        convert_once(converter.environment, key, path, lambda: _convert(converter, python, job, path))
    except ConversionError as error:
        raise RuntimeError(f"{converter.title} cannot convert it: {error}") from error


def _convert(converter: Converter, python: str, job: Job, path: Path) -> None:
    """Exports the network and converts the program.

    Raises:
        ScriptError: the converter failed.
    """
    import torch

    inputs = tuple(torch.from_numpy(array) for array in job.load_inputs().values())
    with tempfile.TemporaryDirectory(dir=job.folder) as name:
        folder = Path(name)
        with torch.no_grad():
            torch.export.save(torch.export.export(load_network(job.source), inputs), folder / _PROGRAM)
        ranks = json.dumps([tensor.dim() for tensor in inputs])
        model = f"{_MODEL}{converter.suffix}"
        run_script(python, Call(converter.script, (_PROGRAM, model, ranks), folder), LIMITS)
        (folder / model).replace(path)
