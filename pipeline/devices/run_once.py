"""Programs of ours that run in a process of their own and end with one line of JSON."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvmopt.pipeline.errors import BuildError

_HOME = Path(__file__).resolve().parents[3]
"""The folder that Python found the installed package in; in a checkout, the folder above it."""


def environment_of(threads: int) -> dict[str, str]:
    """This process's environment for one that has TVM's compiler, this project, and kernels on `threads` threads."""
    environment = dict(os.environ, TVM_NUM_THREADS=str(threads), OMP_NUM_THREADS="1", **import_path())
    environment.pop("TVM_USE_RUNTIME_LIB", None)
    return environment


def import_path() -> dict[str, str]:
    """The variable with which a process of this Python finds this project; empty where it finds it without.

    A program may have put the folder of an installation (``pip install --target``) onto its own path.
    """
    inherited = os.environ.get("PYTHONPATH", "")
    if str(_HOME) not in sys.path or str(_HOME) in (*site.getsitepackages(), *inherited.split(os.pathsep)):
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(_HOME), inherited)))}


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
            [sys.executable, "-P", "-m", module, *arguments],
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
