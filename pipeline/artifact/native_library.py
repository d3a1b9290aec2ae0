"""A model compiled with the native runtime, loaded into this process: calls ``model.h`` through ctypes."""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.artifact.executor import Bound, VisitStep
from tvmopt.pipeline.errors import BuildError, InputFileError, ModelInputError
from tvmopt.pipeline.support.files import code_folder
from tvmopt.pipeline.support.memory import address_of, mapping_of
from tvmopt.pipeline.types import Step
from tvmopt.schedules.dtypes import dtype_of

Array = npt.NDArray[Any]
Specs = tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]]
"""The manifest's ``inputs`` and ``outputs``."""

ALIGNMENT = 64
"""Bytes; a cache line, and the widest vector. Weights and buffers begin at multiples of it."""
HUGE_PAGE = 2 << 20
_POPULATE_WRITE = 23
"""Linux's number for MADV_POPULATE_WRITE (5.14), which Python does not name."""
INDEX_ERROR = "IndexError"
"""The kind of error that a check of indices reports."""


class _Spec(ctypes.Structure):
    """``tvmopt_spec``."""

    _fields_ = (
        ("dtype", ctypes.c_char_p),
        ("ndim", ctypes.c_int32),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("bytes", ctypes.c_int64),
    )


_Observer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "tvmopt_open": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int32]),
    "tvmopt_close": (None, [ctypes.c_void_p]),
    "tvmopt_weights_bytes": (ctypes.c_int64, []),
    "tvmopt_input_spec": (ctypes.POINTER(_Spec), [ctypes.c_int32]),
    "tvmopt_output_spec": (ctypes.POINTER(_Spec), [ctypes.c_int32]),
    "tvmopt_input": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int32]),
    "tvmopt_output": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int32]),
    "tvmopt_run": (ctypes.c_int32, [ctypes.c_void_p]),
    "tvmopt_error": (ctypes.c_char_p, [ctypes.c_void_p]),
    "tvmopt_calls": (ctypes.c_int32, []),
    "tvmopt_run_observed": (ctypes.c_int32, [ctypes.c_void_p, _Observer, ctypes.c_void_p]),
    "tvmopt_run_timed": (ctypes.c_int32, [ctypes.c_void_p, ctypes.c_void_p]),
    "tvmopt_kernel": (ctypes.c_char_p, [ctypes.c_int32]),
    "tvmopt_argument_bytes": (ctypes.c_int64, [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32]),
    "tvmopt_argument": (ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32]),
}
"""Results and parameters of the functions of ``model.h``."""


def reserve(nbytes: int, taken: bool = True) -> Array:
    """Memory for `nbytes` bytes, on large pages where the system has them: weights are read from end to end.

    Args:
        nbytes: how many bytes.
        taken: whether all of it is taken from the system now, rather than by `take` or when it is first written.

    Returns:
        Zeros of dtype uint8, which begin at a large page's boundary; ``(nbytes,)``.
    """
    block = mmap.mmap(-1, nbytes + HUGE_PAGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        block.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(block, np.uint8)
    start = -whole.ctypes.data % HUGE_PAGE
    reserved = whole[start : start + nbytes]
    if taken:
        take(reserved)
    return reserved


def take(part: Array) -> None:
    """Takes the memory of `part`, which is a part of what `reserve` gave, from the system, if it is large.

    Page by page, when they are first written, they would take as long as filling them.
    """
    block = mapping_of(part)
    if block is None or part.nbytes < HUGE_PAGE or sys.platform != "linux":
        return
    start = part.ctypes.data - address_of(block)
    first = start // mmap.PAGESIZE * mmap.PAGESIZE
    with contextlib.suppress(OSError):  # older kernels refuse
        block.madvise(_POPULATE_WRITE, first, start + part.nbytes - first)


class NativeLibrary:
    """An `Executor` for a library with the native runtime, its weights and its threads.

    Args:
        library: bytes of the shared library.
        weights: the weights, from `reserve`.
        specs: the manifest's ``inputs`` and ``outputs``: names, shapes and dtypes, in order.
        threads: how many threads kernels are divided among.

    Raises:
        OSError: when the library cannot be loaded, is not one of ours, or is not what the manifest says; one line.
    """

    def __init__(
        self,
        library: bytes,
        weights: Array,
        specs: Specs,
        threads: int,
    ) -> None:
        functions = _load(library)
        wanted = functions.tvmopt_weights_bytes()
        if wanted != weights.nbytes:
            raise OSError(f"a library for {wanted} bytes of weights, the artifact has {weights.nbytes}")
        _check_specs("input", functions.tvmopt_input_spec, specs[0])
        _check_specs("output", functions.tvmopt_output_spec, specs[1])
        self._open(functions, weights, specs, threads)

    def _open(self, functions: ctypes.CDLL, weights: Array, specs: Specs, threads: int) -> None:
        """Takes memory and threads for the model; the libraries that are open share its code and its weights."""
        self._functions, self._weights, self._specs, self._threads = functions, weights, specs, threads
        self._model = functions.tvmopt_open(weights.ctypes.data, threads)
        if not self._model:
            raise OSError(f"a library that could not get its memory or {threads} threads")
        self._inputs, self._outputs = self._views()
        self._numbered_inputs, self._numbered_outputs = tuple(enumerate(self._inputs)), tuple(enumerate(self._outputs))
        self._run = functions.tvmopt_run

    def _views(self, owner: object = None) -> tuple[list[Array], list[Array]]:
        """Arrays of the model's own memory, where it reads its inputs and writes its outputs; they keep `owner`."""
        input_, output = self._functions.tvmopt_input, self._functions.tvmopt_output
        inputs, outputs = self._specs
        return (
            [_view(input_(self._model, index), spec, owner) for index, spec in enumerate(inputs)],
            [_view(output(self._model, index), spec, owner) for index, spec in enumerate(outputs)],
        )

    def __del__(self) -> None:
        if getattr(self, "_model", None):
            self._functions.tvmopt_close(self._model)

    def set_inputs(self, arrays: Sequence[Array]) -> None:
        """Copies the inputs to where the model reads them."""
        for view, array in zip(self._inputs, arrays, strict=True):
            view[...] = array

    def run(self) -> None:
        """Runs one inference.

        Raises:
            ModelInputError: when an index that the inputs lead to is out of range; names the layer.
            BuildError: when a kernel fails, with what it says.
        """
        if self._run(self._model):
            self._fail()

    def outputs(self) -> list[Array]:
        """Copies of the last run's outputs."""
        return [view.copy() for view in self._outputs]

    def call(self, arrays: Sequence[Array], names: Sequence[str]) -> dict[str, Array]:
        """Copies inputs in, runs and copies outputs out.

        Raises:
            ModelInputError, BuildError: as in `run`.
        """
        # Written out, without `zip` and comprehensions: they would take longer than a small network.
        for place, view in self._numbered_inputs:
            view[...] = arrays[place]
        if self._run(self._model):
            self._fail()
        made = {}
        for place, view in self._numbered_outputs:
            made[names[place]] = view.copy()
        return made

    def bind(self, arrays: Sequence[Array]) -> Bound:
        """The model opened again; the bound arrays are its own memory, and keep it open.

        Raises:
            OSError: there is no memory, or not as many threads, for it.
        """
        other = object.__new__(NativeLibrary)
        other._open(self._functions, self._weights, self._specs, self._threads)
        other.set_inputs(arrays)
        inputs, outputs = other._views(owner=other)
        for view in outputs:
            view.flags.writeable = False  # it may be a weight
        return Bound(inputs, outputs, other.run)

    def kernels(self) -> list[str]:
        """Names of the kernels, in order."""
        return [self._functions.tvmopt_kernel(call).decode() for call in range(self._functions.tvmopt_calls())]

    def time_kernels(self) -> list[tuple[int, int]]:
        """Runs once and times each call: its beginning and end, in nanoseconds."""
        times = np.zeros((self._functions.tvmopt_calls(), 2), np.int64)
        if self._functions.tvmopt_run_timed(self._model, times.ctypes.data):
            self._fail()
        return [(int(begin), int(end)) for begin, end in times]

    def time_kernels_on_processor(self) -> list[tuple[int, int]]:
        """Runs once and times each call in nanoseconds of this thread's processor time."""
        marks: list[int] = []

        def observe(context: Any, call: int, after: int) -> int:
            marks.append(time.thread_time_ns())
            return 0

        if self._functions.tvmopt_run_observed(self._model, _Observer(observe), None):
            self._fail()
        return list(zip(marks[::2], marks[1::2], strict=True))

    def visit_kernels(self, steps: Sequence[Step], visit: VisitStep) -> None:
        """Runs once and passes each kernel's outputs to `visit`.

        Raises:
            InputFileError: when a kernel's outputs are not those that its step lists.
        """
        raised: list[BaseException] = []

        def observe(context: Any, call: int, after: int) -> int:
            if not after:
                return 0
            try:
                visit(steps[call], self._made(call, steps[call]))
            except BaseException as error:  # noqa: BLE001  # it must not pass through C; it is raised again below
                raised.append(error)
                return -1
            return 0

        failed = self._functions.tvmopt_run_observed(self._model, _Observer(observe), None)
        if raised:
            raise raised[0]
        if failed:
            self._fail()

    def _made(self, call: int, step: Step) -> list[Array]:
        """Copies of a call's outputs, its last arguments."""
        made = []
        for place, (_, tensor) in enumerate(step.outputs, -len(step.outputs)):
            nbytes = math.prod(tensor.physical_shape) * dtype_of(tensor.dtype).nbytes
            if self._functions.tvmopt_argument_bytes(self._model, call, place) != nbytes:
                raise InputFileError(
                    f"kernel {step.kernel} has other outputs than the manifest lists; compile the model again"
                )
            address = self._functions.tvmopt_argument(self._model, call, place)
            made.append(_view(address, {"shape": tensor.physical_shape, "dtype": tensor.dtype}).copy())
        return made

    def _fail(self) -> None:
        said = " ".join(self._functions.tvmopt_error(self._model).decode(errors="replace").split())
        kind, _, message = said.partition(": ")
        if kind == INDEX_ERROR:
            raise ModelInputError(message)
        raise BuildError(f"a kernel failed: {said}")


def _check_specs(what: str, find: Any, specs: Sequence[Mapping[str, Any]]) -> None:
    """Compares the library's inputs or outputs with the manifest's.

    Raises:
        OSError: when they differ.
    """
    found: list[tuple[Any, ...]] = []
    while pointer := find(len(found)):
        spec = pointer.contents
        found.append((spec.dtype.decode(), *spec.shape[: spec.ndim]))
    wanted = [(spec["dtype"], *spec["shape"]) for spec in specs]
    if len(found) != len(wanted):
        raise OSError(f"a library with {len(found)} {what}s, the manifest has {len(wanted)}")
    for name, mine, listed in zip((spec["name"] for spec in specs), found, wanted, strict=True):
        if mine != listed:
            raise OSError(f"a library whose {what} {name!r} is {_text(mine)}, the manifest's is {_text(listed)}")


def _text(spec: tuple[Any, ...]) -> str:
    dtype, *shape = spec
    return f"{dtype} {','.join(map(str, shape)) or 'scalar'}"


def _view(address: int, spec: Mapping[str, Any], owner: object = None) -> Array:
    """The model's own memory at `address` as an array; it lives as long as the model, which may be its `owner`."""
    dtype = np.dtype(spec["dtype"])
    memory = (ctypes.c_char * (math.prod(spec["shape"]) * dtype.itemsize)).from_address(address)
    memory.owner = owner
    return np.ndarray(tuple(spec["shape"]), dtype, memory)


def _load(library: bytes) -> ctypes.CDLL:
    """The library's functions, ready to be called; its file is deleted once it is loaded."""
    with tempfile.TemporaryDirectory(prefix="tvmopt-", dir=code_folder()) as folder:
        path = Path(folder) / "model.so"
        path.write_bytes(library)
        try:
            functions = ctypes.CDLL(str(path))
            for name, (result, parameters) in _FUNCTIONS.items():
                function = getattr(functions, name)
                function.restype, function.argtypes = result, parameters
        except (OSError, AttributeError) as error:
            raise OSError(f"not a library of a model: {str(error).replace(str(path), path.name)}") from error
    return functions
