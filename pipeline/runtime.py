"""TVM's runtime alone: loads a compiled library and runs it on the virtual machine.

``tvm`` itself is not imported: with its compiler that takes seconds, and without it the process could not import the
compiler later. The FFI package and one shared library are enough to run a model.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import InputFileError, RuntimeMissingError
from pipeline.executor import VisitStep
from pipeline.interrupts import ctrl_c_later, interruptible
from pipeline.types import Step

Array = npt.NDArray[Any]

Observer = Callable[[str, bool, Sequence[Any]], None]
"""Takes a kernel's name, whether it is about to run (else it has run), and its arguments; outputs come last."""

_CPU, _CUDA = 1, 2
_POOLED = 2
"""TVM's number for the allocator that keeps freed memory for the next run."""
_GO_ON = 0
"""What an instrument gives for the function to be run."""
_EXISTS = 0
"""TVM's number for the attribute of a device that tells whether it is there."""


class VirtualMachine:
    """An `Executor`: a model on TVM's virtual machine; GPUs, and models that our own runtime cannot run, need it.

    Args:
        library: bytes of the shared library.
        kernels: names of the kernels among all the functions that a run calls.
        cuda: whether it runs on a GPU.

    Raises:
        RuntimeMissingError: when TVM is not installed, or there is no GPU for a model that needs one.
        OSError: when the library cannot be loaded or is no model that TVM compiled; the message is one line.
    """

    def __init__(self, library: bytes, kernels: Collection[str], cuda: bool = False) -> None:
        self._ffi = import_runtime()
        self._known = frozenset(kernels)
        devices = [_CPU]
        if cuda:
            _open_cuda()
            devices = [_CUDA, _CPU]
        with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
            path = Path(folder) / "model.so"
            path.write_bytes(library)
            try:
                self._vm = self._ffi.load_module(str(path))["vm_load_executable"]()
            except (AttributeError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[-1].replace(str(path), path.name)
                raise OSError(f"not a library that TVM's runtime can load: {reason}") from error
        self._vm["vm_initialization"](*(number for device in devices for number in (device, 0, _POOLED)))
        self._device = self._ffi.device("cuda" if cuda else "cpu", 0)
        self._main = self._vm["main"]
        self._allocate = self._ffi.get_global_func("runtime.TVMTensorAllocWithScope")
        self._copy_in = self._ffi.get_global_func("runtime.TVMTensorCopyFromBytes")
        self._copy_out = self._ffi.get_global_func("runtime.TVMTensorCopyToBytes")
        self._tensors: list[Any] = []
        self._result: Any = None

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        """Copies the inputs to the device."""
        self._tensors = [self._upload(array) for array in arrays]

    def run(self) -> None:
        """One inference."""
        self._result = self._main(*self._tensors)

    def outputs(self) -> list[Array]:
        """Copies of the last run's outputs."""
        single = hasattr(self._result, "shape")
        return [self._download(tensor) for tensor in ([self._result] if single else self._result)]

    def kernels(self) -> list[str]:
        """Names of the kernels, in order; finding out takes a run."""
        names: list[str] = []
        self._observe(lambda name, before, arguments: names.append(name) if before else None)
        return names

    def time_kernels(self) -> list[tuple[int, int]]:
        """A run with each kernel's beginning and end; each seems a microsecond longer than it is."""
        marks: list[int] = []
        self._observe(lambda name, before, arguments: marks.append(time.perf_counter_ns()))
        return list(zip(marks[::2], marks[1::2], strict=True))

    def visit_kernels(self, steps: Sequence[Step], visit: VisitStep) -> None:
        """A run that hands on what each kernel makes.

        Raises:
            InputFileError: when a kernel makes something else than its step says.
        """
        remaining = iter(steps)

        def observe(name: str, before: bool, arguments: Sequence[Any]) -> None:
            if not before:
                step = next(remaining)
                made = [self._download(tensor) for tensor in arguments[len(arguments) - len(step.outputs) :]]
                if [array.shape for array in made] != [tensor.physical_shape for _, tensor in step.outputs]:
                    raise InputFileError(
                        f"kernel {step.kernel} makes something else than its manifest lists; compile it again"
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
        """A run with `observer` told of every kernel, before and after it; calls take longer so."""

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


def import_runtime() -> Any:
    """Loads TVM's runtime into this process; gives the module ``tvm_ffi``, through which it is called.

    Raises:
        RuntimeMissingError: when it is not installed.
    """
    ffi = _import_ffi()
    _open_runtime()
    return ffi


def import_compiler() -> None:
    """Imports ``tvm`` with its compiler, but without PyTorch; call it before anything else imports ``tvm``.

    Ctrl-C waits meanwhile: in the middle of the import it would abort the process.
    """
    import_runtime()
    with ctrl_c_later():
        import tvm  # noqa: F401


def _import_ffi() -> Any:
    """The module ``tvm_ffi``.

    It imports PyTorch where that is installed, for exchanging tensors: a second and 250 MB that a deployed model has no
    use for. So PyTorch is hidden meanwhile; importing it afterwards works as ever.
    """
    if "tvm_ffi" in sys.modules or "torch" in sys.modules:
        import tvm_ffi

        return tvm_ffi
    sys.modules["torch"] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        import tvm_ffi
    except ImportError as error:
        raise RuntimeMissingError(f"TVM's runtime is not installed ({error}): pip install apache-tvm") from error
    finally:
        del sys.modules["torch"]
    return tvm_ffi


@functools.cache
def _open_runtime() -> None:
    _load("tvm_runtime", "pip install apache-tvm")
    # Sorting (TopK, NonZero) is here.
    _load("tvm_runtime_extra", "pip install apache-tvm")


@functools.cache
def _open_cuda() -> None:
    """Loads the CUDA part of TVM's runtime and looks for a GPU."""
    remedy = "run where an NVIDIA GPU and its driver are"
    _load("tvm_runtime_cuda", remedy)
    if not _import_ffi().get_global_func("runtime.GetDeviceAttr")(_CUDA, 0, _EXISTS):
        raise RuntimeMissingError(f"the driver finds no NVIDIA GPU; {remedy}")


def _load(name: str, remedy: str) -> None:
    from tvm_ffi.libinfo import load_lib_ctypes

    try:
        load_lib_ctypes("apache-tvm", name, "RTLD_GLOBAL")
    except (OSError, RuntimeError) as error:
        raise RuntimeMissingError(f"cannot load lib{name}.so ({str(error).splitlines()[0]}); {remedy}") from error
