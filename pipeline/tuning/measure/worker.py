"""The worker process: keeps TVM loaded, builds candidates, checks each against the reference, times the right ones.

Runs as ``python -m tvmopt.pipeline.tuning.measure.worker`` and speaks JSON lines on its standard input and output; ends
when its input ends. Commands: ``target``, ``peak``, ``task``, ``build``, ``measure``.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.pipeline.compiler.native.pool import use_pool
from tvmopt.pipeline.support.numeric_error import as_one_dtype, numeric_error
from tvmopt.pipeline.support.tolerances import KERNEL
from tvmopt.pipeline.support.tvm import import_compiler
from tvmopt.pipeline.tuning.measure.quiet_machine import QuietProbe
from tvmopt.pipeline.tuning.measure.timing import Candidate, KernelTimer, Sharing, threads_keep_their_parts
from tvmopt.pipeline.types import Task
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.registry import Template, pack_inputs, template_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

PEAK_REPEATS = 7
SPINS = 3000
"""How often a waiting thread looks for work before it sleeps: about a millisecond. By TVM's own count it goes on for a
sixth of a second, in which it keeps the next worker's threads from measuring."""

_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Subject:
    """The task at hand: its inputs, the output it should give, what times its candidates."""

    workload: Workload
    template: Template
    inputs: list[npt.NDArray[Any]]
    expected: npt.NDArray[Any]
    timer: KernelTimer
    built: dict[int, Candidate] = field(default_factory=dict)


class Worker:
    """Answers commands, one at a time."""

    def __init__(self) -> None:
        self.target: Target | None = None
        self.sharing: Sharing = threads_keep_their_parts
        self.probe: QuietProbe | None = None
        self.subject: Subject | None = None

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """The answer to one command; failures of a candidate are answers, not exceptions."""
        name = command["command"]
        if name == "target":
            return self._set_target(command["target"], command["pool"])
        if name == "task":
            workload = Workload.from_json(command["workload"])
            return self._set_task(Task(workload.key, workload, 1, (), command["streamed_bytes"]), command["seed"])
        if name == "peak":
            return {"status": "ok", "flops_per_s": self._peak()}
        if name == "build":
            return self._build(command["id"], command["config"])
        return self._measure(command["id"])

    def _set_target(self, facts: dict[str, Any], pool: str) -> dict[str, Any]:
        self.target = Target.from_json(facts)
        os.environ["TVM_NUM_THREADS"] = str(self.target.threads)
        os.environ["TVM_THREAD_POOL_SPIN_COUNT"] = str(SPINS)
        if pool:
            self.sharing = use_pool(Path(pool), self.target.threads).sharing
        import_compiler()  # now, so that no candidate waits for it
        self.probe = QuietProbe(self.target)
        return {"status": "ok"}

    def _set_task(self, task: Task, seed: int) -> dict[str, Any]:
        assert self.target is not None
        assert self.probe is not None
        workload, template = task.workload, template_for(task.workload, self.target)
        inputs = random_inputs(workload, seed)
        expected = reference(workload, inputs)
        self.subject = Subject(workload, template, inputs, expected, KernelTimer(task, self.target, self.probe))
        return {"status": "ok"}

    def _peak(self) -> float:
        """Multiply-adds in registers, as floating-point operations a second, at the target's threads."""
        import tvm

        from tvmopt.schedules.llvm.probes.peak import peak_kernel

        assert self.target is not None
        function, size, flops = peak_kernel(self.target)
        library = kernel_library({"kernel": function}, self.target)
        memory = tvm.runtime.tensor(np.full(size, 0.5, np.float32))
        timer = library.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=PEAK_REPEATS)
        return flops / float(min(timer(memory).results))

    def _build(self, identity: int, config: Config) -> dict[str, Any]:
        from tvmopt.schedules.llvm.parts.emit import parallel_tasks

        subject, target = self.subject, self.target
        assert subject is not None
        assert target is not None
        began = time.perf_counter()
        try:
            function = subject.template.build(subject.workload, target, config)
            library = kernel_library({"kernel": function}, target)
            library["kernel"]  # generates its code now, while nothing is measured
        except Exception as error:  # noqa: BLE001  # whatever TVM raises means that this candidate cannot be built
            message = str(error).strip().splitlines()
            cost = time.perf_counter() - began
            return {"status": "compile_error", "error": message[-1] if message else repr(error), "cost_s": cost}
        subject.built[identity] = Candidate(config, library, partial(self.sharing, parallel_tasks(function)))
        return {"status": "ok", "cost_s": time.perf_counter() - began}

    def _measure(self, identity: int) -> dict[str, Any]:
        import tvm

        subject, target = self.subject, self.target
        assert subject is not None
        assert target is not None
        began = time.perf_counter()
        candidate = subject.built.pop(identity)
        inputs = dict(enumerate(subject.inputs))
        memory = pack_inputs(subject.template, subject.workload, target, candidate.config, inputs)
        arguments = [tvm.runtime.tensor(memory[index]) for index in inputs]
        output = subject.workload.output
        # Not zeros: what a kernel forgets to write must show.
        made = tvm.runtime.tensor(np.full(output.physical_shape, np.nan, output.dtype))
        with candidate.sharing():
            candidate.library["kernel"](*arguments, made)
        # The reference may be more exact than the kernel: float64 for float32.
        error = numeric_error(*as_one_dtype(subject.expected, output.restore(made.numpy()))).relative
        allowed = KERNEL.of(np.dtype(output.dtype))
        halo_error = _halo_error(subject.workload, made.numpy())
        if not error <= allowed or halo_error:
            why = halo_error or f"relative error {error:.3g}, allowed {allowed:g}"
            return {"status": "wrong", "error": why, "cost_s": time.perf_counter() - began}
        samples = subject.timer.time(candidate, [*arguments, made])
        return {"status": "ok", "latency_s": samples, "error": "", "cost_s": time.perf_counter() - began}


def random_inputs(workload: Workload, seed: int) -> list[npt.NDArray[Any]]:
    """Inputs for a kernel: standard normal floats, zeros for the index tables of resizing."""
    generator = np.random.default_rng(seed)
    arrays = []
    for tensor in workload.inputs:
        if np.issubdtype(np.dtype(tensor.dtype), np.floating):
            arrays.append(generator.standard_normal(tensor.shape).astype(tensor.dtype))
        else:
            arrays.append(np.zeros(tensor.shape, tensor.dtype))
    if workload.op == "recurrence":
        # With recurrent weights of order one a state would be chaotic: rounding would grow from step to step.
        arrays[1] /= np.float32(math.sqrt(workload.inputs[1].shape[-1]))
    return arrays


def _halo_error(workload: Workload, memory: npt.NDArray[Any]) -> str:
    """What is wrong round the maps: a halo must be zeros and the absent channels finite."""
    output = workload.output
    if output.plain:
        return ""
    if not np.isfinite(memory).all():
        return "not every element of the output was written"
    top, left, _, _ = output.halo
    outside = memory.copy()
    outside[:, :, top : top + output.shape[2], left : left + output.shape[3]] = 0
    return "the halo is not zero" if outside.any() else ""


def end_with_parent() -> None:
    """Has the kernel end this process when its parent ends, even while a candidate hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main() -> None:
    """Answers commands until the input ends."""
    end_with_parent()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    # Libraries may print; that must not reach the channel.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    worker = Worker()
    for line in sys.stdin:
        command = json.loads(line)
        answers.write(json.dumps({**worker.answer(command), "serial": command["serial"]}) + "\n")


if __name__ == "__main__":
    main()
