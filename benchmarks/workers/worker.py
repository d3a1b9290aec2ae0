"""The worker process: one runtime, one model, commands and replies over a `pipeline.devices.channel`.

`benchmarks.workers.supervisor` runs it as ``python -m tvmopt.benchmarks.workers.worker RUNTIME CORES``.
Commands, and the fields of the reply besides ``"ok": true``:

- ``prepare {job}``: ``prepare_s``, ``missing`` (one line, if something that preparing needs is missing);
- ``load {job, outputs}``: ``import_s, load_s, first_run_s, settings``, and ``integers``: whether the model is
  quantised by itself; saves the outputs as an ``.npz``;
- ``warm {seconds, calls}``: ``call_s``, the median of the calls;
- ``turn {calls, untimed, limit_s, clock}``: ``samples`` in seconds, of the clock ``wall`` or ``processor``; fewer than
  ``calls`` at the limit, if it is not null;
- ``infer {inputs, outputs}``: runs the loaded model on every batch of an ``.npz``, whose arrays have a dimension for
  batches in front; saves the outputs of each batch as an ``.npz`` (`output_key`);
- ``profile {job, seconds}``: ``profile``, a `benchmarks.measurements.layer_profile.LayerProfile`; loads the model
  itself.

An exception becomes ``{"ok": false, "error": line}``.
"""

from __future__ import annotations

import gc
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, NothingToPrepareError, Runner, computes_in_integers, inferences_of
from tvmopt.benchmarks.runtimes.registry import find_runtime
from tvmopt.pipeline.devices.serve import Server
from tvmopt.pipeline.support.npz import load_arrays, save_arrays


class Worker:
    """Executes the commands for the runtime called `name`, with one runner."""

    def __init__(self, name: str) -> None:
        self._runtime = find_runtime(name)
        self._runner: Runner = self._runtime.runner()

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """The result of the command named by ``do``."""
        steps: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "prepare": self._prepare,
            "load": self._load,
            "warm": self._warm,
            "turn": self._turn,
            "infer": self._infer,
            "profile": self._profile,
        }
        return {"ok": True, **steps[command["do"]](command)}

    def _prepare(self, command: dict[str, Any]) -> dict[str, Any]:
        start = time.perf_counter()
        try:
            self._runner.prepare(Job.from_json(command["job"]))
        except NothingToPrepareError as nothing:
            return {"missing": str(nothing), "prepare_s": None}
        return {"missing": "", "prepare_s": time.perf_counter() - start}

    def _load(self, command: dict[str, Any]) -> dict[str, Any]:
        job = Job.from_json(command["job"])
        times = {
            "import_s": _seconds(self._runner.open_library),
            "load_s": _seconds(lambda: self._runner.load(job)),
            "first_run_s": _seconds(self._runner.run),
        }
        outputs = self._runner.read_outputs()
        save_arrays(command["outputs"], {f"output_{index:04d}": array for index, array in enumerate(outputs)})
        return {**times, "settings": self._runner.settings, "integers": computes_in_integers(self._runner)}

    def _warm(self, command: dict[str, Any]) -> dict[str, Any]:
        end = time.perf_counter() + command["seconds"]
        samples: list[float] = []
        while len(samples) < command["calls"] or time.perf_counter() < end:
            samples.append(_seconds(self._runner.run))
        # Only the later half: the earlier calls may still be slow.
        return {"call_s": statistics.median(samples[len(samples) // 2 :])}

    def _turn(self, command: dict[str, Any]) -> dict[str, Any]:
        run = self._runner.run
        clock = time.process_time_ns if command.get("clock") == "processor" else time.perf_counter_ns
        for _ in range(command["untimed"]):
            run()
        gc.collect()
        gc.disable()
        samples: list[float] = []
        end = math.inf if command["limit_s"] is None else time.perf_counter() + command["limit_s"]
        while len(samples) < command["calls"] and (not samples or time.perf_counter() < end):
            samples.append(_seconds(run, clock))
        gc.enable()
        inferences = inferences_of(self._runner)
        return {"samples": [sample / inferences for sample in samples]}

    def _infer(self, command: dict[str, Any]) -> dict[str, Any]:
        given = load_arrays(command["inputs"])
        made: dict[str, np.ndarray] = {}
        for batch in range(min(len(stack) for stack in given.values())):
            self._runner.set_inputs({name: stack[batch] for name, stack in given.items()})
            self._runner.run()
            made |= {output_key(batch, place): array for place, array in enumerate(self._runner.read_outputs())}
        save_arrays(command["outputs"], made)
        return {}

    def _profile(self, command: dict[str, Any]) -> dict[str, Any]:
        profile = self._runtime.load_profiler()(Job.from_json(command["job"]), command["seconds"])
        return {"profile": profile.to_json()}


def output_key(batch: int, place: int) -> str:
    """The name of an output of a batch in what ``infer`` saves."""
    return f"{batch:06d} {place:04d}"


def _seconds(call: Callable[[], None], clock: Callable[[], int] = time.perf_counter_ns) -> float:
    start = clock()
    call()
    return (clock() - start) / 1e9


def _describe(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def main() -> None:
    """Answers commands until the supervisor closes the pipe."""
    server = Server()
    name, cores = sys.argv[1:3]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    worker = Worker(name)

    def answer(command: dict[str, Any]) -> dict[str, Any]:
        try:
            return worker.answer(command)
        except Exception as error:  # noqa: BLE001  # any error of a runtime becomes its row's message
            return {"ok": False, "error": _describe(error)}

    server.serve(answer)


if __name__ == "__main__":
    main()
