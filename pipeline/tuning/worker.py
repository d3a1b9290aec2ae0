"""The worker process: keeps TVM loaded, builds candidates, checks each against the reference, times the right ones.

Runs as ``python -m pipeline.tuning.worker`` and speaks JSON lines on its standard input and output; ends when its
input ends. Commands: ``target``, ``peak``, ``task``, ``build``, ``measure``.
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
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.reference import reference
from pipeline.runtime import import_compiler
from schedules.registry import Template, pack_inputs, template_for
from schedules.space import Config
from schedules.target import Target
from schedules.workload import Workload

TOLERANCE = 1e-4
"""Largest error of a kernel that counts as right, relative to the largest magnitude of its output."""

REPEATS = 7
REPEAT_S = 2e-3
MIN_SAMPLES, MAX_SAMPLES = 9, 60
WEIGHTED = ("conv2d", "depthwise_conv2d", "dense", "recurrence")
COLD_CACHES = 4
"""Copies of the weights together take so many times the second-level cache."""
MAX_COPIES = 16
HOPELESS = 2.5
"""A candidate so many times slower than the task's best is not timed any longer."""

_PR_SET_PDEATHSIG = 1


@dataclass(slots=True)
class Subject:
    """The task at hand: its inputs, the output it should give, the best time so far."""

    workload: Workload
    template: Template
    inputs: list[npt.NDArray[Any]]
    expected: npt.NDArray[Any]
    best_s: float = float("inf")
    built: dict[int, tuple[Config, Any]] = field(default_factory=dict)


class Worker:
    """Answers commands, one at a time."""

    def __init__(self) -> None:
        self.target: Target | None = None
        self.subject: Subject | None = None

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """The answer to one command; failures of a candidate are answers, not exceptions."""
        name = command["command"]
        if name == "target":
            return self._set_target(command["target"])
        if name == "task":
            return self._set_task(Workload.from_json(command["workload"]), command["seed"])
        if name == "peak":
            return {"status": "ok", "flops_per_s": self._peak()}
        if name == "build":
            return self._build(command["id"], command["config"])
        return self._measure(command["id"])

    def _set_target(self, facts: dict[str, Any]) -> dict[str, Any]:
        self.target = Target.from_json(facts)
        os.environ["TVM_NUM_THREADS"] = str(self.target.threads)
        import_compiler()  # now, so that no candidate waits for it

        return {"status": "ok"}

    def _set_task(self, workload: Workload, seed: int) -> dict[str, Any]:
        assert self.target is not None
        inputs = random_inputs(workload, seed)
        template = template_for(workload, self.target)
        self.subject = Subject(workload, template, inputs, reference(workload, inputs))
        return {"status": "ok"}

    def _peak(self) -> float:
        """Multiply-adds in registers, as floating-point operations a second, at the target's threads."""
        import tvm

        from schedules.llvm.peak import peak_kernel

        assert self.target is not None
        function, size, flops = peak_kernel(self.target)
        module = tvm.IRModule({"kernel": function.with_attr("global_symbol", "kernel")})
        library = tvm.compile(module, target=tvm.target.Target(dict(self.target.tvm)))
        memory = tvm.runtime.tensor(np.full(size, 0.5, np.float32))
        timer = library.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=REPEATS)
        return flops / float(min(timer(memory).results))

    def _build(self, identity: int, config: Config) -> dict[str, Any]:
        import tvm

        subject, target = self.subject, self.target
        assert subject is not None
        assert target is not None
        began = time.perf_counter()
        try:
            function = subject.template.build(subject.workload, target, config)
            module = tvm.IRModule({"kernel": function.with_attr("global_symbol", "kernel")})
            library = tvm.compile(module, target=tvm.target.Target(dict(target.tvm)))
        except Exception as error:  # noqa: BLE001  # whatever TVM raises means that this candidate cannot be built
            message = str(error).strip().splitlines()
            cost = time.perf_counter() - began
            return {"status": "compile_error", "error": message[-1] if message else repr(error), "cost_s": cost}
        subject.built[identity] = (config, library)
        return {"status": "ok", "cost_s": time.perf_counter() - began}

    def _measure(self, identity: int) -> dict[str, Any]:
        import tvm

        subject, target = self.subject, self.target
        assert subject is not None
        assert target is not None
        began = time.perf_counter()
        config, library = subject.built.pop(identity)
        inputs = dict(enumerate(subject.inputs))
        memory = pack_inputs(subject.template, subject.workload, target, config, inputs)
        arguments = [tvm.runtime.tensor(memory[index]) for index in inputs]
        output = subject.workload.output
        # Not zeros: what a kernel forgets to write must show.
        made = tvm.runtime.tensor(np.full(output.physical_shape, np.nan, output.dtype))
        library["kernel"](*arguments, made)
        error = _error(output.restore(made.numpy()), subject.expected)
        halo_error = _halo_error(subject.workload, made.numpy())
        if not error <= TOLERANCE or halo_error:
            why = halo_error or f"relative error {error:.3g}, allowed {TOLERANCE:g}"
            return {"status": "wrong", "error": why, "cost_s": time.perf_counter() - began}
        samples = self._time(subject, library, [*arguments, made])
        subject.best_s = min(subject.best_s, float(np.median(samples)))
        return {"status": "ok", "latency_s": samples, "error": "", "cost_s": time.perf_counter() - began}

    def _time(self, subject: Subject, library: Any, arguments: list[Any]) -> list[float]:
        """Seconds a call takes, as samples.

        In a model the weights of a layer were last read one run ago and lie beyond the core's own caches. So the calls
        take turns among copies of the weights that exceed those caches.
        """
        import tvm

        assert self.target is not None
        weights: Any = arguments[1] if subject.workload.op in WEIGHTED else None
        nbytes = 0 if weights is None else math.prod(weights.shape) * 4
        if nbytes * 4 < self.target.l1_bytes:
            kernel = library.mod
            first = min(kernel.time_evaluator("kernel", tvm.cpu(), number=1, repeat=3)(*arguments).results)
            number = max(1, int(REPEAT_S / max(first, 1e-7)))
            repeat = 3 if first > HOPELESS * subject.best_s else REPEATS
            timer = kernel.time_evaluator("kernel", tvm.cpu(), number=number, repeat=repeat)
            return [float(sample) for sample in timer(*arguments).results]
        copies = min(MAX_COPIES, math.ceil(COLD_CACHES * self.target.l2_bytes / nbytes))
        rotation = [weights, *(tvm.runtime.tensor(weights.numpy()) for _ in range(copies - 1))]
        calls = [[arguments[0], copy, *arguments[2:]] for copy in rotation]
        run = library["kernel"]
        samples: list[float] = []
        deadline = time.perf_counter() + REPEATS * REPEAT_S
        while len(samples) < MAX_SAMPLES and (len(samples) < MIN_SAMPLES or time.perf_counter() < deadline):
            call = calls[len(samples) % copies]
            began = time.perf_counter()
            run(*call)
            samples.append(time.perf_counter() - began)
            if len(samples) == 4 and min(samples) > HOPELESS * subject.best_s:
                break
        return samples


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


def _error(result: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    scale = max(float(np.abs(expected).max()), 1e-30)
    return float(np.abs(result.astype(np.float64) - expected).max() / scale)


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
