"""Converts PyTorch networks for LiteRT, in the converter's own environment; each network once."""

from __future__ import annotations

from pathlib import Path

from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.pytorch import exported

CONVERTER = "litert"
"""The converter's environment."""

_LITERT_TORCH = exported.Converter(
    environment=CONVERTER,
    title="litert-torch",
    script=Path(__file__).with_name("convert.py"),
    decides=("litert-torch", "litert-converter", "torch", "torchao"),
    suffix=".tflite",
)


def convert_network(job: Job, path: Path) -> None:
    """Writes the job's network to `path` as LiteRT takes it.

    Raises:
        RuntimeError: the converter does not take it.
        RuntimeMissingError: the converter's environment is not there; says how to get it.
    """
    exported.convert_network(_LITERT_TORCH, job, path)
