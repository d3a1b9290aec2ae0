"""A compiled model on TVM's virtual machine."""

from __future__ import annotations

import copy
import ctypes
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.pipeline.artifact.executor import Bound, VisitStep
from tvmopt.pipeline.errors import InputFileError, ModelInputError
from tvmopt.pipeline.support.files import code_folder
from tvmopt.pipeline.support.interrupts import interruptible
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.support.tvm import CPU, CUDA, Array, import_runtime, open_cuda
from tvmopt.pipeline.types import Step

Observer = Callable[[str, bool, Sequence[Any]], None]
"""Takes a kernel's name, whether it is about to run (else it has run), and its arguments; outputs come last."""
_POOLED = 2
"""TVM's number for the allocator that keeps freed memory for the next run."""
_GO_ON = 0
"""What an instrument returns to let the function run."""


class VirtualMachine:
    """An `Executor` on TVM's virtual machine, which GPUs and models that our own runtime cannot run need.

    Args:
        library: bytes of the shared library.
        kernels: names of the kernels among all the functions that a run calls.
        cuda: whether it runs on a GPU.
        checks: if the model has one more output than its manifest lists, what is wrong where an element is not 0.

    Raises:
        RuntimeMissingError: when TVM is not installed, or there is no GPU for a model that needs one.
        OSError: when the library cannot be loaded or is not a model that TVM compiled; the message is one line.
    """

    def __init__(
        self, library: bytes, kernels: Collection[str], cuda: bool = False, checks: Sequence[str] = ()
    ) -> None:
        self._ffi = import_runtime()
        self._known, self._checks = frozenset(kernels), tuple(checks)
        if cuda:
            open_cuda()
        with tempfile.TemporaryDirectory(prefix="tvmopt-", dir=code_folder()) as folder:
            path = Path(folder) / "model.so"
            path.write_bytes(library)
            try:
                self._executable = self._ffi.load_module(str(path))["vm_load_executable"]
                self._start(cuda)
            except (AttributeError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[-1].replace(str(path), path.name)
                raise OSError(f"not a library that TVM's runtime can load: {reason}") from error
        self._allocate = self._ffi.get_global_func("runtime.TVMTensorAllocWithScope")
        self._copy_in = self._ffi.get_global_func("runtime.TVMTensorCopyFromBytes")
        self._copy_out = self._ffi.get_global_func("runtime.TVMTensorCopyToBytes")

    def _start(self, cuda: bool) -> None:
        """Makes a machine that runs the executable, and has values of its own."""
        self._cuda, self._vm = cuda, self._executable()
        devices = [CUDA, CPU] if cuda else [CPU]
        self._vm["vm_initialization"](*(number for device in devices for number in (device, 0, _POOLED)))
        self._device = self._ffi.device("cuda" if cuda else "cpu", 0)
        self._main = self._vm["main"]
        self._tensors: list[Any] = []
        self._result: Any = None

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        """Copies the inputs to the device."""
        self._tensors = [self._upload(array) for array in arrays]

    def run(self) -> None:
        """Runs one inference.

        Raises:
            ModelInputError: when an index that the inputs lead to is out of range; names the layer.
        """
        try:
            self._result = self._main(*self._tensors)
        except IndexError as error:
            raise ModelInputError(one_line(error)) from None
        if self._checks:
            *outputs, outside = self._result
            self._result = outputs
            for message, found in zip(self._checks, self._download(outside), strict=True):
                if found:
                    raise ModelInputError(message)

    def outputs(self) -> list[Array]:
        """Copies of the last run's outputs."""
        single = hasattr(self._result, "shape")
        return [self._download(tensor) for tensor in ([self._result] if single else self._result)]

    def call(self, arrays: Sequence[Array], names: Sequence[str]) -> dict[str, Array]:
        """Copies inputs to the device, runs and copies outputs from it.

        Raises:
            ModelInputError: as in `run`.
        """
        self.set_inputs(arrays)
        self.run()
        return dict(zip(names, self.outputs(), strict=True))

    def bind(self, arrays: Sequence[Array]) -> Bound:
        """Another machine, run once; the bound arrays are copied to the device and from it with each run.

        Raises:
            ModelInputError: as in `run`.
        """
        other = copy.copy(self)
        other._start(self._cuda)
        inputs = [array.copy() for array in arrays]
        other.set_inputs(inputs)
        other.run()
        outputs = other.outputs()

        def run() -> None:
            other.set_inputs(inputs)
            other.run()
            for kept, made in zip(outputs, other.outputs(), strict=True):
                kept.flags.writeable = True
                kept[...] = made
                kept.flags.writeable = False

        for array in outputs:
            array.flags.writeable = False
        return Bound(inputs, outputs, run)

    def kernels(self) -> list[str]:
        """Names of the kernels, in order; runs the model once to find them."""
        names: list[str] = []
        self._observe(lambda name, before, arguments: names.append(name) if before else None)
        return names

    def time_kernels(self) -> list[tuple[int, int]]:
        """Runs once and times each kernel: its beginning and end; each seems a microsecond longer than it is."""
        marks: list[int] = []
        self._observe(lambda name, before, arguments: marks.append(time.perf_counter_ns()))
        return list(zip(marks[::2], marks[1::2], strict=True))

    def time_kernels_on_processor(self) -> list[tuple[int, int]]:
        """The same in nanoseconds of this thread's processor time."""
        marks: list[int] = []
        self._observe(lambda name, before, arguments: marks.append(time.thread_time_ns()))
        return list(zip(marks[::2], marks[1::2], strict=True))

    def visit_kernels(self, steps: Sequence[Step], visit: VisitStep) -> None:
        """Runs once and passes each kernel's outputs to `visit`.

        Raises:
            InputFileError: when a kernel's outputs are not those that its step lists.
        """
        remaining = iter(steps)

        def observe(name: str, before: bool, arguments: Sequence[Any]) -> None:
            if not before:
                step = next(remaining)
                made = [self._download(tensor) for tensor in arguments[len(arguments) - len(step.outputs) :]]
                if [array.shape for array in made] != [tensor.physical_shape for _, tensor in step.outputs]:
                    raise InputFileError(
                        f"kernel {step.kernel} has other outputs than the manifest lists; compile the model again"
                    )
                visit(step, made)

        self._observe(observe)

    def _upload(self, array: Array) -> Any:
        """A tensor on the device with the values of `array`, of any dtype that numpy and TVM share."""
        array = np.asarray(array, order="C")
        dtype = self._ffi.dtype(str(array.dtype))
        tensor = self._allocate(self._ffi.Shape(array.shape), dtype, self._device, None)
        self._copy_in(tensor, ctypes.c_void_p(array.ctypes.data), array.nbytes)
        return tensor

    def _download(self, tensor: Any) -> Array:
        """A copy of `tensor` in host memory."""
        array = np.empty(tuple(tensor.shape), str(tensor.dtype))
        self._copy_out(tensor, ctypes.c_void_p(array.ctypes.data), array.nbytes)
        return array

    def _observe(self, observer: Observer) -> None:
        """Runs once and calls `observer` before and after every kernel, which makes the calls take longer."""

        def instrument(function: Any, name: str, before: bool, result: Any, *arguments: Any) -> int:
            if name in self._known:
                observer(name, before, arguments)
            return _GO_ON

        self._vm["set_instrument"](self._ffi.convert_func(instrument))
        try:
            with interruptible():
                self.run()
        finally:
            self._vm["set_instrument"](None)
