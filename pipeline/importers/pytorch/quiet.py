"""Uses torch's exporter as a library: keeps it quiet, and finds the operators that it lacks."""

from __future__ import annotations

import io
import logging
import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_MISSING = re.compile(r"^- `([^`]+)`: .*All nodes: `\[([^,\]]*)(.*)\]`$", re.MULTILINE)
"""A line of the exporter's report about an operator that it has no translation for."""


@contextmanager
def quiet() -> Iterator[None]:
    """Suppresses stdout, stderr, warnings and log lines: torch's exporter is verbose."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def export_failures() -> tuple[type[Exception], ...]:
    """The exceptions that `torch.onnx.export` raises for a program that it cannot translate."""
    import torch

    return (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError, NotImplementedError)


def missing_operators(program: ExportedProgram) -> list[str]:
    """The operators of `program` that torch cannot translate to ONNX, from the report of an export that fails.

    Returns:
        Each operator, how often it occurs and where first, as an error lists them; empty for any other failure.
    """
    import torch

    with tempfile.TemporaryDirectory() as folder, quiet():
        with suppress(*export_failures()):  # they were raised already, when the model itself was exported
            torch.onnx.export(program, dynamo=True, verbose=False, report=True, artifacts_dir=folder)
        text = "\n".join(path.read_text() for path in sorted(Path(folder).glob("*.md")))
    return [
        f"{operator} ({1 + others.count(',')}x, first at {first!r})"
        for operator, first, others in _MISSING.findall(text)
    ]
