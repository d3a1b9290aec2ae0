"""The runtime's sources and linked libraries: no warnings, reproducible, nothing specific to this machine."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.pipeline.compiler.native.conftest import Built, add_and_double
from tvmopt.pipeline.compiler.arena import plan_arena
from tvmopt.pipeline.compiler.native.link import EXPORTS, OPTIONS, POOL_SOURCES, SOURCES, link
from tvmopt.pipeline.compiler.native.tables import lay_out_weights, write_tables
from tvmopt.pipeline.errors import BuildError

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
COMPILERS = ("g++", "clang++", "aarch64-linux-gnu-g++", "arm-linux-gnueabihf-g++")


@pytest.mark.parametrize("compiler", COMPILERS)
def test_no_compiler_warnings(compiler: str, repository: Path, tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    import tvm
    from tvm_ffi import libinfo

    _, program = add_and_double()
    tables = tmp_path / "tables.cc"
    tables.write_text(write_tables(program, plan_arena(program), lay_out_weights(program)[0]))
    home = repository / "pipeline" / "compiler" / "native"
    headers = [option for path in libinfo.include_paths() for option in ("-isystem", path)]
    headers += ["-isystem", str(Path(tvm.__file__).parent / "include"), f"-I{home}"]
    files = [tables, *(home / name for name in {*SOURCES, *POOL_SOURCES})]
    compiling = [option for option in OPTIONS if option != "-shared"]
    subprocess.run([compiler, *compiling, "-fsyntax-only", *WARNINGS, *headers, *files], check=True)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("standard", ["c11", "c99"])
def test_the_header_is_c(compiler: str, standard: str, repository: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    header = repository / "pipeline" / "compiler" / "native" / "model.h"
    options = [f"-std={standard}", "-fsyntax-only", *WARNINGS, "-include", str(header), "-xc", "/dev/null"]
    subprocess.run([compiler, *options], check=True)


def test_only_the_interface_is_visible(built: Built, repository: Path, tmp_path: Path) -> None:
    assert "tvmopt_*" in EXPORTS
    library = tmp_path / "model.so"
    library.write_bytes(built.library)
    listed = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    visible = {line.split()[-1] for line in listed.splitlines()}
    header = (repository / "pipeline" / "compiler" / "native" / "model.h").read_text()
    code = "\n".join(line for line in header.splitlines() if not line.startswith("//"))
    assert visible == set(re.findall(r"(tvmopt_\w+)\(", code))


def test_the_library_needs_only_libc(built: Built, tmp_path: Path) -> None:
    library = tmp_path / "model.so"
    library.write_bytes(built.library)
    listed = subprocess.run(["readelf", "-d", library], capture_output=True, text=True, check=True).stdout
    needed = {re.sub(r"\.so.*", "", name) for name in re.findall(r"NEEDED.*\[(.*?)\]", listed)}
    assert needed <= {"libc", "libm", "libpthread", "ld-linux-x86-64", "ld-linux-aarch64"}


def test_no_path_of_this_machine(built: Built, repository: Path) -> None:
    texts = re.findall(rb"[\x20-\x7e]{4,}", built.library)
    objects = ("kernel0.o", "kernel1.o")
    for part in (str(repository), str(Path.home()), "/tmp", "site-packages", sys.prefix, ".cc", *objects):
        assert not [text for text in texts if part.encode() in text], part


CODE = """
import hashlib
from tests import tiny
print(hashlib.sha256(tiny.artifact()).hexdigest())
"""


@pytest.mark.slow
def test_the_same_bytes_in_another_process_and_folder(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    environment = {"PYTHONPATH": str(repository), "TMPDIR": str(tmp_path / "elsewhere"), "PYTHONHASHSEED": "7"}
    environment["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == hashlib.sha256(tiny.artifact()).hexdigest()


def test_a_linker_that_fails() -> None:
    with pytest.raises(BuildError, match=r"^linking with g\+\+ failed: [^\n]*error[^\n]*$"):
        link((b"no object file",), "these are no tables", (), "g++")
