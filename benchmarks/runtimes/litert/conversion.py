"""Converts PyTorch networks for LiteRT, in the converter's own environment; each network once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from tvmopt.benchmarks.machine.environment import package_versions
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.pipeline.devices.environments.conversions import ConversionError, convert_once, versions_in
from tvmopt.pipeline.devices.environments.places import require_python
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.devices.environments.run_script import Call, Limits, run_script
from tvmopt.pipeline.importers.recalling.file_hash import hash_of, map_files
from tvmopt.pipeline.support.cache import digest

CONVERTER = "litert"
"""The converter's environment."""

_SCRIPT = Path(__file__).with_name("convert.py")
_DECIDES = ("litert-torch", "litert-converter", "torch", "torchao")
"""The packages of the environment that decide what is made."""

LIMITS = Limits(time_s=600.0, memory_bytes=16 << 30)
"""Of a conversion."""
_PROGRAM, _MODEL = "program.pt2", "model.tflite"


def convert_network(job: Job, path: Path) -> None:
    """Writes the job's network to `path` as LiteRT takes it.

    Raises:
        RuntimeError: the converter does not take it.
    """
    python = require_python(find_environment(CONVERTER))
    model = Path(job.onnx)
    files = [file for file in (model, model.with_name(f"{model.name}.data")) if file.exists()]
    # The ONNX form stands for the network: equal ones compute the same.
    made_from = hash_of(map_files(files)), hash_of(map_files([_SCRIPT]))
    key = digest(*made_from, versions_in(python, _DECIDES), package_versions(("torch",)))
    try:
        convert_once(CONVERTER, key, path, lambda: _convert(python, job, path))
    except ConversionError as error:
        raise RuntimeError(f"litert-torch cannot convert it: {error}") from error


def _convert(python: str, job: Job, path: Path) -> None:
    """Exports the network and converts the program.

    Raises:
        ScriptError: the converter failed.
    """
    import torch

    from tvmopt.benchmarks.runtimes.pytorch.runner import load_network

    inputs = tuple(torch.from_numpy(array) for array in job.load_inputs().values())
    with tempfile.TemporaryDirectory(dir=job.folder) as name:
        folder = Path(name)
        with torch.no_grad():
            torch.export.save(torch.export.export(load_network(job.source), inputs), folder / _PROGRAM)
        ranks = json.dumps([tensor.dim() for tensor in inputs])
        run_script(python, Call(_SCRIPT, (_PROGRAM, _MODEL, ranks), folder), LIMITS)
        (folder / _MODEL).replace(path)
