"""Compiling and linking: TVM's kernels, the tables of one program, and the runtime that executes them.

Also the runtime's threads alone, for kernels that are measured by themselves.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.build import kernel_library
from pipeline.errors import BuildError
from pipeline.program import Program
from schedules.target import Target

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
"""What kernels may ask of a runtime for ours to run them."""


def compile_kernels(module: Any, program: Program, target: Target) -> bytes | None:
    """The object file of a program's kernels; None when they need more of TVM's runtime than ours has.

    Args:
        module: that the program was read from.
        program: whose kernels are compiled.
        target: for which.
    """
    names = dict.fromkeys(call.kernel for call in program.calls)
    compiled = kernel_library({name: module[name] for name in names}, target)
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
        file = Path(folder) / "kernels.o"
        compiled.mod.write_to_file(str(file))
        content = file.read_bytes()
    asked = set(re.findall(rb"__TVM(?:Backend|FFI)\w+", content))
    return content if asked <= _OFFERED else None


def link(kernels: bytes, tables: str, linker: str) -> bytes:
    """The shared library of a model.

    Args:
        kernels: the object file.
        tables: source of ``tables.cc``.
        linker: the C++ compiler for the target.

    Raises:
        BuildError: when the compiler fails.
    """
    files = {"kernels.o": kernels, "tables.cc": tables.encode()}
    return _library(files, ("tables.cc", *_own(SOURCES), "kernels.o"), EXPORTS, linker)


def link_pool(linker: str) -> bytes:
    """The shared library that has TVM's kernels run on the threads that ours run on; see ``pool.cc``.

    Raises:
        BuildError: when the compiler fails.
    """
    return _library({}, _own(POOL_SOURCES), POOL_EXPORTS, linker)


def _own(sources: Sequence[str]) -> tuple[str, ...]:
    return tuple(str(_HOME / source) for source in sources)


def _library(files: Mapping[str, bytes], inputs: Sequence[str], exports: str, linker: str) -> bytes:
    """What `linker` makes of `inputs`, in that order: paths, and names of `files`."""
    import tvm
    from tvm_ffi import libinfo

    includes = [_HOME, Path(tvm.__file__).parent / "include", *libinfo.include_paths()]
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        (folder / "exports").write_text(exports)
        command = [linker, *OPTIONS, *(f"-I{path}" for path in includes), *inputs, "-o", "model.so"]
        command += ["-Wl,--version-script=exports", *LINKING]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = [line for line in done.stderr.splitlines() if "error" in line] or [f"exit code {done.returncode}"]
            raise BuildError(f"linking with {linker} failed: {lines[0]}")
        return (folder / "model.so").read_bytes()
