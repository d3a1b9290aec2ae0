"""Loads TVM's runtime alone, which can run a compiled library on the virtual machine.

``tvm`` itself is not imported: with its compiler that takes seconds, and without the compiler the process could not
import it later. The FFI package and one shared library are enough to run a model.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt

from tvmopt.pipeline.errors import RuntimeMissingError
from tvmopt.pipeline.support.interrupts import ctrl_c_later

Array = npt.NDArray[Any]


CPU, CUDA = 1, 2
_AUTOLOAD = "TVM_DEVICE_BACKEND_AUTOLOAD"
"""TVM's variable that says whether importing it loads what it has for other devices than CPUs."""
_EXISTS = 0
"""TVM's number for the device attribute that says whether the device exists."""


def import_runtime() -> Any:
    """Loads TVM's runtime into this process; returns the module ``tvm_ffi``, through which it is called.

    Raises:
        RuntimeMissingError: when it is not installed.
    """
    ffi = _import_ffi()
    _open_runtime()
    return ffi


def import_compiler() -> None:
    """Imports ``tvm`` with its compiler, but without PyTorch; call it before anything else imports ``tvm``.

    What it has for GPUs and other devices is left out, which is a third of the time; `load_backend` loads it.

    Ctrl-C is delayed until the import is done: during it, it would abort the process.
    """
    import_runtime()
    with ctrl_c_later(), _without_torch(), _without_backends():
        import tvm  # noqa: F401


def load_backend(kind: str) -> None:
    """Loads what ``tvm`` has for a kind of GPU, if it is not loaded yet."""
    from tvm import backend

    backend.load(kind)


def _import_ffi() -> Any:
    """The module ``tvm_ffi``."""
    with _without_torch():
        try:
            import tvm_ffi
        except ImportError as error:
            raise RuntimeMissingError(f"TVM's runtime is not installed ({error}): pip install apache-tvm") from error
    return tvm_ffi


@contextmanager
def _without_torch() -> Iterator[None]:
    """Hides PyTorch from imports unless it is loaded already; importing it afterwards works as usual.

    TVM and its FFI import PyTorch, if installed, to exchange tensors: seconds and 250 MB that we do not need.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # the documented way to make an import fail
    try:
        yield
    finally:
        del sys.modules["torch"]


@contextmanager
def _without_backends() -> Iterator[None]:
    """Lets TVM load nothing for other devices as long as it is being imported."""
    before = os.environ.get(_AUTOLOAD)
    os.environ[_AUTOLOAD] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_AUTOLOAD]
        else:
            os.environ[_AUTOLOAD] = before


@functools.cache
def _open_runtime() -> None:
    _load("tvm_runtime", "pip install apache-tvm")
    # It contains sorting (TopK, NonZero).
    _load("tvm_runtime_extra", "pip install apache-tvm")


@functools.cache
def open_cuda() -> None:
    """Loads the CUDA part of TVM's runtime and looks for a GPU."""
    remedy = "run on a machine with an NVIDIA GPU and its driver"
    _load("tvm_runtime_cuda", remedy)
    if not _import_ffi().get_global_func("runtime.GetDeviceAttr")(CUDA, 0, _EXISTS):
        raise RuntimeMissingError(f"the driver finds no NVIDIA GPU; {remedy}")


def _load(name: str, remedy: str) -> None:
    from tvm_ffi.libinfo import load_lib_ctypes

    try:
        load_lib_ctypes("apache-tvm", name, "RTLD_GLOBAL")
    except (OSError, RuntimeError) as error:
        raise RuntimeMissingError(f"cannot load lib{name}.so ({str(error).splitlines()[0]}); {remedy}") from error


@functools.cache
def tvm_version() -> str:
    """The installed TVM's version, without importing TVM."""
    return importlib.metadata.version("apache-tvm")
