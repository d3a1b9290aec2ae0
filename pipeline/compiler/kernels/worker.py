"""The program that makes kernels: loads TVM once, then divides its jobs among as many processes as there are cores.

Runs as ``python -m tvmopt.pipeline.compiler.kernels.worker`` at the other end of a `pipeline.devices.channel`. The
processes are copies of this one, which therefore never starts a thread. TVM sets LLVM's options for the whole process
while it compiles, so several threads of one process could not do this.
"""

from __future__ import annotations

import base64
import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tvmopt.pipeline.compiler.kernels.job import CHECK
from tvmopt.pipeline.compiler.kernels.make import make
from tvmopt.pipeline.devices.serve import Server
from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.support.tvm import import_compiler

_PR_SET_PDEATHSIG = 1


def answers(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The result of each job when it is there, with its number: base64, or an error's class and message."""
    jobs = command["jobs"]
    if any(job["kind"] == CHECK for job in jobs):
        import onnxruntime  # noqa: F401  # once, for all copies of this process
    width = min(command["width"], len(jobs))
    if width == 1:
        for number, job in enumerate(jobs):
            yield {"number": number, **_result(job)}
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(width, context, _end_with, (os.getpid(),)) as pool:
        numbers = {pool.submit(_result, job): number for number, job in enumerate(jobs)}
        for made in as_completed(numbers):
            try:
                yield {"number": numbers[made], **made.result()}
            except BrokenProcessPool:
                message = "a process that makes kernels was killed"
                yield {"number": numbers[made], "error": "BuildError", "message": message}


def _result(job: dict[str, Any]) -> dict[str, str]:
    try:
        return {"content": base64.b64encode(make(job)).decode()}
    except TvmoptError as error:
        return {"error": type(error).__name__, "message": str(error)}


def _end_with(parent: int) -> None:
    """Lets the kernel end this process with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Answers commands until the input ends."""
    server = Server()
    import_compiler()
    server.serve_each(answers)


if __name__ == "__main__":
    main()
