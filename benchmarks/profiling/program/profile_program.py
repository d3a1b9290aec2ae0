"""Profiles a user's program, a function that reads, prepares and infers, in a process of its own.

Schema ``tvmopt-profile-program``, version 1: ``schema``, ``schema_version``, ``created``, ``environment``, and
``program`` (``spec``), ``calls`` (after the first), ``first_s``, ``call_s`` (the median of calls without the tracer),
``traced_s`` (the median of calls with it), and ``first`` and ``warm``: for each stage ``stage``, ``seconds`` a call,
``share``, and ``functions[]`` with ``function``, ``seconds`` a call and ``calls`` a call. Stages have traced seconds,
so that they add up to ``traced_s``; ``share`` is what to trust.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tvmopt.benchmarks.profiling.profile_model import open_document
from tvmopt.benchmarks.profiling.program.stages import order_stages
from tvmopt.pipeline.errors import BuildError, TvmoptError, UsageError
from tvmopt.pipeline.importers import parse_source
from tvmopt.pipeline.support.progress import Listener, Steps

SCHEMA = "tvmopt-profile-program"
SCHEMA_VERSION = 1

_POLL_S = 0.2
_WORKER = "tvmopt.benchmarks.profiling.program.worker"


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """What to profile.

    Attributes:
        program: ``path/file.py:function``; the function is called without arguments.
        seconds: approximate time of the calls after the first.
        stages: the program's own functions by name, each with the stage that it is.
    """

    program: str
    seconds: float = 3.0
    stages: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.seconds < 3600:
            raise UsageError(f"seconds must be above 0 and below 3600, got {self.seconds:g}")


def profile_program(options: ProgramOptions, listener: Listener | None = None) -> dict[str, Any]:
    """Calls the program once, and then again and again, with a tracer and without it in turn.

    Args:
        options: what to profile.
        listener: receives progress; may request a stop.

    Returns:
        The JSON document described above.

    Raises:
        UsageError, InputFileError: there is no such file or function.
        UnsupportedModelError: the function needs arguments, or raises.
        BuildError: its process died.
        CancelledError: the listener requested a stop.
    """
    source = parse_source(options.program)
    request = {
        "path": str(source.path),
        "function": source.factory,
        "seconds": options.seconds,
        "named": dict(options.stages),
    }
    with tempfile.TemporaryDirectory(prefix="tvmopt-profile-") as folder, Steps(listener, 1) as steps:
        steps.begin(f"{source.path.name}:{source.factory}, call by call")
        result = _in_process(request, Path(folder) / "result.json", steps.listener)
    if "error" in result:
        error = TvmoptError(f"{options.program}: {result['error']}")
        error.exit_code = int(result["code"])
        raise error
    calls = len(result["traced_s"])
    return (
        open_document()
        | {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "program": {"spec": options.program}}
        | {
            "calls": len(result["whole_s"]) + calls,
            "first_s": result["first_s"],
            "call_s": statistics.median(result["whole_s"]),
            "traced_s": statistics.median(result["traced_s"]),
            "first": _stages(result["first"], 1),
            "warm": _stages(result["warm"], calls),
        }
    )


def _in_process(request: Mapping[str, Any], output: Path, listener: Listener) -> dict[str, Any]:
    """Runs the worker; what the program prints goes to standard error."""
    said = _error_stream()
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", _WORKER, str(output)],
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        text=True,
        start_new_session=True,  # Ctrl-C is ours to handle
    )
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(json.dumps(request))
        while True:
            listener.check()
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = process.wait(_POLL_S)
                break
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if status or not output.exists():
        end = f"by signal {-status}" if status < 0 else f"with exit code {status}"
        raise BuildError(f"the program ended its process {end}, before its calls were done")
    return dict(json.loads(output.read_text()))


def _error_stream() -> int | None:
    """Python's standard error, which need not be the process's; None for the latter."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError):
        return None


def _stages(rows: Sequence[Mapping[str, Any]], calls: int) -> list[dict[str, Any]]:
    whole = sum(row["seconds"] for row in rows) or 1.0
    stages = []
    for stage in order_stages({row["stage"] for row in rows}):
        own = sorted((row for row in rows if row["stage"] == stage), key=lambda row: -row["seconds"])
        functions = [
            {"function": row["function"], "seconds": row["seconds"] / calls, "calls": row["calls"] / calls}
            for row in own
        ]
        seconds = sum(row["seconds"] for row in own)
        stages.append({"stage": stage, "seconds": seconds / calls, "share": seconds / whole, "functions": functions})
    return stages
