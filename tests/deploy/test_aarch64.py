"""The C++ sample and a model, both compiled here for 64-bit Arm, under qemu: the golden outputs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import tiny
from tests.deploy.conftest import unpack

LINKER, EMULATOR, SYSTEM = "aarch64-linux-gnu-g++", "qemu-aarch64-static", Path("/usr/aarch64-linux-gnu")
LIBRARIES = ("libtvm_runtime.so", "libtvm_ffi.so")


@pytest.fixture(scope="module")
def libraries(repository: Path) -> list[Path]:
    """TVM's runtime for 64-bit Arm: where TVMOPT_AARCH64_WHEELS says, unpacked, or in .cache/aarch64."""
    for tool in (LINKER, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    folder = Path(os.environ.get("TVMOPT_AARCH64_WHEELS", repository / ".cache" / "aarch64"))
    found = [next(folder.rglob(name), None) for name in LIBRARIES]
    paths = [path for path in found if path is not None]
    if len(paths) < len(LIBRARIES):
        pytest.skip(f"{' and '.join(LIBRARIES)} for Arm are not in {folder}: python tests/deploy/fetch_aarch64.py")
    return paths


def test_under_qemu(libraries: list[Path], sample: Path, tmp_path: Path) -> None:
    import tvm_ffi.libinfo

    folders = [str(path.parent) for path in libraries]
    options = ["-std=c++17", "-O2", "-I", tvm_ffi.libinfo.find_include_path(), f"-Wl,-rpath,{':'.join(folders)}"]
    program = tmp_path / "run_model"
    subprocess.run(
        [LINKER, sample / "run_model.cc", "-o", program, *options, "-Wl,--no-as-needed", *libraries], check=True
    )
    unpacked = unpack(tiny.artifact("aarch64", threads=1), tmp_path)
    done = subprocess.run(
        [EMULATOR, "-L", SYSTEM, program, *unpacked.arguments, "--threads", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"y\.out: float32 1,16,14,14\nlatency: median \d+\.\d{3} ms of 1 runs\n", done.stdout)
    unpacked.check_outputs()
