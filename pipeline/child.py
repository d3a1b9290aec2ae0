"""Programs of ours that run in a process of their own and end with one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import BuildError

_ROOT = Path(__file__).resolve().parents[1]


def environment_of(threads: int) -> dict[str, str]:
    """This process's environment for one that has TVM's compiler, this project, and kernels on `threads` threads."""
    environment = dict(os.environ, TVM_NUM_THREADS=str(threads), OMP_NUM_THREADS="1")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    environment.pop("TVM_USE_RUNTIME_LIB", None)
    return environment


def run_module(module: str, arguments: Sequence[str], threads: int, limit_s: float, what: str) -> Any:
    """What ``python -m module arguments…`` writes as its last line, read as JSON.

    Args:
        module: the program.
        arguments: its arguments.
        threads: of kernels in it.
        limit_s: how long it may take, in seconds.
        what: what it does, for the error.

    Raises:
        BuildError: when it fails or takes longer.
    """
    try:
        # A session of its own: Ctrl-C is for this process, which then ends that one.
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            env=environment_of(threads),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=limit_s,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BuildError(f"{what} failed: no result after {limit_s:g} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BuildError(f"{what} failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return json.loads(done.stdout.splitlines()[-1])
