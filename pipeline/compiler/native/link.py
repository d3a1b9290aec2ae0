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
from tvmopt.pipeline.compiler.program import Program
from tvmopt.pipeline.errors import BuildError
from tvmopt.schedules.target import Target

SOURCES = ("model.cc", "threads.cc")
OPTIONS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics")
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


class KernelObjects:
    """The machine code of kernels, each compiled once, however many libraries use it."""

    def __init__(self, target: Target) -> None:
        """Starts empty; all kernels are for `target`."""
        self._target = target
        self._objects: dict[tuple[str, int], bytes] = {}

    def of(self, module: Any, program: Program) -> tuple[bytes, ...] | None:
        """An object file for each kernel of a program; None when one needs more of TVM's runtime than ours offers.

        Args:
            module: the module that the program was read from.
            program: the program whose kernels to compile.
        """
        objects = tuple(self._object(module, name) for name in dict.fromkeys(call.kernel for call in program.calls))
        asked = {name for content in objects for name in re.findall(rb"__TVM(?:Backend|FFI)\w+", content)}
        return objects if asked <= _OFFERED else None

    def _object(self, module: Any, name: str) -> bytes:
        import tvm_ffi

        key = (name, tvm_ffi.structural_hash(module[name]))
        if key not in self._objects:
            self._objects[key] = compile_kernel(name, module[name], self._target)
        return self._objects[key]


def compile_kernel(name: str, function: Any, target: Target) -> bytes:
    """The object file of a PrimFunc under `name`."""
    compiled = kernel_library({name: function}, target)
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
        file = Path(folder) / "kernel.o"
        compiled.mod.write_to_file(str(file))
        return file.read_bytes()


def link_kernel(kernel: bytes, linker: str) -> bytes:
    """The shared library of one kernel, for a process that has TVM's runtime.

    Args:
        kernel: its object file.
        linker: the C++ compiler for the target.

    Raises:
        BuildError: when the compiler fails.
    """
    options = ("-shared", "-nostartfiles", "-Wl,--build-id=none", "-Wl,-Bsymbolic", "-Wl,--as-needed", "-s")
    return _run_linker([linker, *options, "kernel.o", "-lm"], {"kernel.o": kernel})


def link(kernels: Sequence[bytes], tables: str, linker: str) -> bytes:
    """The shared library of a model.

    Args:
        kernels: their object files.
        tables: source of ``tables.cc``.
        linker: the C++ compiler for the target.

    Raises:
        BuildError: when the compiler fails.
    """
    objects = {f"kernel{number}.o": content for number, content in enumerate(kernels)}
    files = {**objects, "tables.cc": tables.encode()}
    return _library(files, ("tables.cc", *_own(SOURCES), *objects), EXPORTS, linker)


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
    import tvm
    from tvm_ffi import libinfo

    includes = [_HOME, Path(tvm.__file__).parent / "include", *libinfo.include_paths()]
    command = [linker, *OPTIONS, *(f"-I{path}" for path in includes), *inputs]
    command += ["-Wl,--version-script=exports", *LINKING]
    return _run_linker(command, {**files, "exports": exports.encode()})


def _run_linker(command: Sequence[str], files: Mapping[str, bytes]) -> bytes:
    """The library that `command` makes in a folder with `files`."""
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        done = subprocess.run([*command, "-o", "model.so"], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or [f"exit code {done.returncode}"]
            raise BuildError(f"linking with {command[0]} failed: {lines[0]}")
        return (folder / "model.so").read_bytes()
