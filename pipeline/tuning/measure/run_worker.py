"""The program that runs built kernels: loads each, checks it against the reference, times it if it is correct.

Runs as ``python -m tvmopt.pipeline.tuning.measure.run_worker`` at the other end of a `pipeline.devices.channel`.
Commands: ``target``, ``peak``, ``integer peak``, ``task``, ``run``. It builds nothing but its own probes.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.pipeline.compiler.native.pool import use_pool
from tvmopt.pipeline.devices.serve import Server
from tvmopt.pipeline.support.files import code_folder
from tvmopt.pipeline.support.numeric_error import as_one_dtype, numeric_error
from tvmopt.pipeline.support.tolerances import KERNEL, only_steps
from tvmopt.pipeline.support.tvm import import_compiler
from tvmopt.pipeline.tuning.measure.built_kernel import Argument, BuiltKernel
from tvmopt.pipeline.tuning.measure.quiet_machine import QuietProbe
from tvmopt.pipeline.tuning.measure.timing import Candidate, KernelTimer, Sharing, threads_keep_their_parts
from tvmopt.pipeline.types import Task
from tvmopt.schedules.compute.integers import NARROW, largest_sum, sums_are_wide
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import functions_of
from tvmopt.schedules.llvm.convolution.integers.corrections import corrections_of
from tvmopt.schedules.llvm.parts.products import SMALL, pairs_fit
from tvmopt.schedules.llvm.probes.integer_peak import integer_peak_kernel
from tvmopt.schedules.llvm.probes.peak import peak_kernel
from tvmopt.schedules.operators import INTEGERS, RESIZE2D
from tvmopt.schedules.registry import kernel_for
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

PEAK_REPEATS = 7
_PEAKS = {"peak": (peak_kernel, 0.5, "float32"), "integer peak": (integer_peak_kernel, 1, "int32")}
"""What each command measures: the kernel, the elements that it reads, their type."""

SPINS = 3000
"""How often a waiting thread looks for work before it sleeps: about a millisecond. TVM's default lasts a sixth of a
second, during which the thread keeps the next worker's threads from measuring."""
WEIGHT = 32.0
"""The standard deviation of quantised weights."""


@dataclass(frozen=True, slots=True)
class MeasuredTask:
    """The current task: its inputs, its expected output, the timer of its candidates."""

    workload: Workload
    inputs: list[npt.NDArray[Any]]
    expected: npt.NDArray[Any]
    timer: KernelTimer


class RunWorker:
    """Answers commands, one at a time."""

    def __init__(self) -> None:
        self.target: Target | None = None
        self.sharing: Sharing = threads_keep_their_parts
        self.probe: QuietProbe | None = None
        self.task: MeasuredTask | None = None

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """The answer to one command; failures of a candidate are answers, not exceptions."""
        name = command["command"]
        if name == "target":
            return self._set_target(command["target"], command["pool"])
        if name == "task":
            workload = Workload.from_json(command["workload"])
            return self._set_task(Task(workload.key, workload, 1, (), command["streamed_bytes"]), command["seed"])
        if name in _PEAKS:
            return {"status": "ok", "operations_per_s": self._peak(*_PEAKS[name])}
        return self._run(BuiltKernel.from_json(command["kernel"]))

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
        inputs = random_inputs(task.workload, seed)
        expected = reference(task.workload, inputs)
        self.task = MeasuredTask(task.workload, inputs, expected, KernelTimer(task, self.target, self.probe))
        return {"status": "ok"}

    def _peak(self, make: Callable[[Target], tuple[Any, int, int]], value: float, dtype: str) -> float:
        """Peak of multiply-adds in registers, in operations per second, with the target's threads.

        Args:
            make: the kernel, the elements of its parameter, its operations.
            value: of those elements.
            dtype: their type.
        """
        import tvm

        assert self.target is not None
        function, size, operations = make(self.target)
        library = kernel_library({"kernel": function}, self.target)
        memory = tvm.runtime.tensor(np.full(size, value, dtype))
        timer = library.mod.time_evaluator("kernel", tvm.cpu(), number=1, repeat=PEAK_REPEATS)
        return operations / float(min(timer(memory).results))

    def _run(self, kernel: BuiltKernel) -> dict[str, Any]:
        import tvm

        task = self.task
        assert task is not None
        assert task.workload == kernel.workload
        began = time.perf_counter()
        library = load_library(kernel.library)
        candidate = Candidate(kernel.name, library, partial(self.sharing, kernel.parallel_tasks))
        arguments = [tvm.runtime.tensor(memory) for memory in self._memory(kernel, task.inputs)]
        # Not zeros, so that an element the kernel forgets to write is detected.
        made = tvm.runtime.tensor(_unwritten(kernel.arguments[-1]))
        with candidate.sharing():
            library[kernel.name](*arguments, made)
        output = task.workload.output
        # The reference may be more exact than the kernel: float64 for float32.
        error = numeric_error(*as_one_dtype(task.expected, output.restore(made.numpy()))).relative
        allowed = KERNEL.of(np.dtype(output.dtype))
        around = halo_error(task.workload, made.numpy())
        if not (error <= allowed or self._only_steps(task, output.restore(made.numpy()), allowed)) or around:
            why = around or f"relative error {error:.3g}, allowed {allowed:g}"
            return {"status": "wrong", "error": why, "cost_s": time.perf_counter() - began}
        samples = task.timer.time(candidate, [*arguments, made])
        return {"status": "ok", "latency_s": samples, "error": "", "cost_s": time.perf_counter() - began}

    @staticmethod
    def _only_steps(task: MeasuredTask, result: npt.NDArray[Any], allowed: float) -> bool:
        """Whether all that is wrong are ties of a kernel that rounds to integers, which fall either way."""
        return "quantize" in functions_of(task.workload.epilogue) and only_steps(task.expected, result, allowed)

    def _memory(self, kernel: BuiltKernel, inputs: list[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """The inputs as the kernel expects them in memory.

        Raises:
            ValueError: when it was built for other shapes or dtypes.
        """
        assert self.target is not None
        packed = kernel_for(kernel.workload, self.target).pack(kernel.config, dict(enumerate(inputs)))
        memory = [packed[place] for place in range(len(inputs))]
        for place, (array, wanted) in enumerate(zip(memory, kernel.arguments[:-1], strict=True)):
            if (array.shape, array.dtype.name) != (wanted.shape, wanted.dtype):
                raise ValueError(f"input {place} is {array.shape} {array.dtype}, the kernel takes {wanted}")
        return memory


def _unwritten(argument: Argument) -> npt.NDArray[Any]:
    """Memory for an output, full of what no kernel gives: NaN, or the largest integer."""
    dtype = np.dtype(argument.dtype)
    return np.full(argument.shape, np.nan if dtype.kind == "f" else np.iinfo(dtype).max, dtype)


def load_library(library: bytes) -> Any:
    """TVM's module of a shared library."""
    import tvm

    # Once loaded, the library no longer needs its file. The name is new every time: for a name that it knows, the
    # system's loader would return the library that it already has.
    with tempfile.NamedTemporaryFile(prefix="tvmopt-", suffix=".so", dir=code_folder()) as file:
        file.write(library)
        file.flush()
        return tvm.runtime.load_module(file.name)


def random_inputs(workload: Workload, seed: int) -> list[npt.NDArray[Any]]:
    """Inputs for a kernel: standard normal floats, and integers over their whole range.

    The index tables of resizing are zeros: other indices might lie outside the map. Weights of quantised maps are
    distributed as trained ones are, and scaled so that few results saturate.
    """
    generator = np.random.default_rng(seed)

    def draw(tensor: Tensor) -> npt.NDArray[Any]:
        dtype = np.dtype(tensor.dtype)
        if dtype.kind == "f":
            return generator.standard_normal(tensor.shape).astype(dtype)
        if workload.op == RESIZE2D.name or dtype.kind not in "iu":
            return np.zeros(tensor.shape, dtype)
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, tensor.shape, dtype, endpoint=True)

    arrays = [draw(tensor) for tensor in workload.inputs]
    if workload.op in {operator.name for operator in INTEGERS}:
        _quantise(workload, arrays, generator)
    if workload.op == "recurrence":
        # With recurrent weights of order one the state would be chaotic: rounding errors would grow at each step.
        arrays[1] /= np.float32(math.sqrt(workload.inputs[1].shape[-1]))
    return arrays


def _quantise(workload: Workload, arrays: list[npt.NDArray[Any]], generator: np.random.Generator) -> None:
    """Makes weights and scales of a convolution of integers what those of a trained one are."""
    # Small enough for what the workload says of sums in 16 bits.
    largest = SMALL if pairs_fit(workload) or corrections_of(workload) is not None else 127
    weights = np.clip(generator.standard_normal(arrays[1].shape) * WEIGHT, -largest, largest)
    if not sums_are_wide(workload):
        weights *= min(1.0, 0.9 * NARROW / max(1, largest_sum(np.rint(weights))))
    arrays[1] = np.rint(weights).astype(arrays[1].dtype)
    # Behind the weights comes what the sums are multiplied with.
    if len(arrays) > 2 and arrays[2].dtype.kind == "f":
        arrays[2] /= np.float32(WEIGHT * math.sqrt(math.prod(arrays[1].shape[1:])))


def halo_error(workload: Workload, memory: npt.NDArray[Any]) -> str:
    """What is wrong around the maps, if anything: the halo must be the output's fill, the padding channels finite.

    The maps themselves may hold NaN and infinities, such as logarithms of random inputs.
    """
    output = workload.output
    if output.plain:
        return ""
    outside_maps = ~output.store(np.ones(output.shape, np.bool_))
    if not np.isfinite(memory[outside_maps]).all():
        return "not every element of the output was written"
    top, left, _, _ = output.halo
    outside = memory.copy()
    outside[:, :, top : top + output.shape[2], left : left + output.shape[3]] = output.fill
    wrong = outside != output.fill
    if output.fill and output.shape[1] % output.block:
        wrong[:, -1, ..., output.shape[1] % output.block :] = False  # nothing reads these as numbers
    return f"the halo is not {output.fill or 'zero'}" if wrong.any() else ""


def main() -> None:
    """Answers commands until the input ends."""
    Server().serve(RunWorker().answer)


if __name__ == "__main__":
    main()
