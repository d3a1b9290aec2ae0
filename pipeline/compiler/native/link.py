"""Compiling and linking: TVM's kernels, the tables of one program, and the runtime that executes them.

It also links the runtime's threads alone, for kernels that are measured on their own.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.pipeline.errors import BuildError, RuntimeMissingError
from tvmopt.schedules.target import Target

SOURCES = ("model.cc", "threads.cc")
"""Our runtime."""
OPTIONS = ("-std=c++17", "-O2", "-fPIC", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")
LINKING = ("-Wl,--build-id=none", "-Wl,--no-undefined", "-Wl,--as-needed", "-s", "-static-libgcc", "-lm", "-lpthread")
"""No build id and no symbol table: both would carry names of temporary files into the artifact."""

EXPORTS = "{ global: tvmopt_*; local: *; };\n"

POOL_SOURCES = ("pool.cc", "threads.cc")
POOL_EXPORTS = "{ global: tvmopt_*; TVMBackendParallelLaunch; local: *; };\n"

_HOME = Path(__file__).resolve().parent
_OFFERED = {
    b"__TVMBackendParallelLaunch",
    b"__TVMBackendAllocWorkspace",
    b"__TVMBackendFreeWorkspace",
    b"__TVMFFIErrorSetRaisedFromCStrParts",
    b"__TVMFFIErrorSetRaisedFromCStr",
}
"""The functions of TVM's runtime that our runtime offers to kernels."""


def needs_tvm(kernel: bytes) -> bool:
    """Whether a kernel's object file asks for more of TVM's runtime than ours offers."""
    return not set(re.findall(rb"__TVM(?:Backend|FFI)\w+", kernel)) <= _OFFERED


def compile_kernel(name: str, function: Any, target: Target, checked: bool = False) -> bytes:
    """The object file of a PrimFunc under `name`.

    Args:
        name: its symbol.
        function: the PrimFunc.
        target: what it is for.
        checked: whether the kernel checks the shapes and addresses of its arguments whenever it is called. These checks
            are two thirds of its code; callers whose tables are known to fit do without.
    """
    # Checks of its own, such as of indices, are part of what a kernel computes.
    compiled = kernel_library({name: function}, target, checked=checked or _has_assert(function))
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
        file = Path(folder) / "kernel.o"
        compiled.mod.write_to_file(str(file))
        return file.read_bytes()


def _has_assert(function: Any) -> bool:
    import tvm_ffi
    from tvm import tirx

    found: list[Any] = []
    tvm_ffi.structural_walk(function.body, ((tirx.AssertStmt,), found.append))
    return bool(found)


def compile_source(source: str, linker: str) -> bytes:
    """The object file of one of our runtime's sources.

    Raises:
        BuildError: when the compiler fails.
    """
    command = [linker, *OPTIONS, *_includes(), "-c", str(_HOME / source)]
    return _run_compiler(command, {}, "compiling the runtime")


def link_kernel(kernel: bytes, linker: str) -> bytes:
    """The shared library of one kernel, for a process that has TVM's runtime.

    Args:
        kernel: its object file.
        linker: the C++ compiler for the target.

    Raises:
        BuildError: when the compiler fails.
    """
    options = ("-shared", "-nostartfiles", "-Wl,--build-id=none", "-Wl,-Bsymbolic", "-Wl,--as-needed", "-s")
    return _run_compiler([linker, *options, "kernel.o", "-lm"], {"kernel.o": kernel})


def link(kernels: Sequence[bytes], tables: str, runtime: Sequence[bytes], linker: str) -> bytes:
    """The shared library of a model.

    Args:
        kernels: their object files.
        tables: source of ``tables.cc``.
        runtime: the object files of `SOURCES`.
        linker: the C++ compiler for the target.

    Raises:
        BuildError: when the compiler fails.
    """
    objects = {f"runtime{number}.o": content for number, content in enumerate(runtime)}
    objects |= {f"kernel{number}.o": content for number, content in enumerate(kernels)}
    files = {**objects, "tables.cc": tables.encode()}
    return _library(files, ("tables.cc", *objects), EXPORTS, linker)


def link_pool(linker: str) -> bytes:
    """The shared library that makes kernels under TVM run on our runtime's threads; see ``pool.cc``.

    Raises:
        BuildError: when the compiler fails.
    """
    return _library({}, _own(POOL_SOURCES), POOL_EXPORTS, linker)


def _own(sources: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(_HOME / source) for source in sources)


def _library(files: Mapping[str, bytes], inputs: Sequence[str], exports: str, linker: str) -> bytes:
    """The library that `linker` makes from `inputs`, in that order: paths, and names of `files`."""
    command = [linker, *OPTIONS, "-shared", *_includes(), *inputs, "-Wl,--version-script=exports", *LINKING]
    return _run_compiler(command, {**files, "exports": exports.encode()})


def _includes() -> list[str]:
    """Options that name the folders of our headers, TVM's and its FFI's, without importing either."""
    from importlib.util import find_spec

    folders = [_HOME]
    for package in ("tvm", "tvm_ffi"):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise RuntimeMissingError(f"the headers of {package} are not installed: pip install apache-tvm")
        folders.append(Path(spec.origin).parent / "include")
    return [f"-I{folder}" for folder in folders]


def _run_compiler(command: Sequence[str], files: Mapping[str, bytes], what: str = "linking") -> bytes:
    """The file that `command` makes in a folder with `files`."""
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        done = subprocess.run([*command, "-o", "made"], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or [f"exit code {done.returncode}"]
            raise BuildError(f"{what} with {command[0]} failed: {lines[0]}")
        return (folder / "made").read_bytes()
