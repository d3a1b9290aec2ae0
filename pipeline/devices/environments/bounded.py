"""Runs a script of ours in bounded memory; run by the Python of another environment, which lacks this project.

Arguments: the most bytes of memory, the script, and the script's own arguments.
"""

from __future__ import annotations

import resource
import runpy
import sys
from pathlib import Path


def run(memory_bytes: int, script: str, arguments: list[str]) -> None:
    """Runs `script` as a program; modules beside it can be imported."""
    # Not the address space (RLIMIT_AS): libraries reserve much more of it than they use.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    run(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
