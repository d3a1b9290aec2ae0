"""The C++ sample: built as its README says, it gives the golden outputs, and tells what is wrong in one line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.conftest import Unpacked, unpack

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


@pytest.fixture(scope="module")
def program(sample: Path, build_command: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, built."""
    folder = tmp_path_factory.mktemp("program")
    shutil.copy(sample / "run_model.cc", folder)
    # `python` is to be the one that runs the tests.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(["bash", "-euc", build_command], cwd=folder, env={**os.environ, "PATH": path}, check=True)
    return folder / "run_model"


@pytest.fixture
def unpacked(two_outputs: bytes, tmp_path: Path) -> Unpacked:
    return unpack(two_outputs, tmp_path)


def run(program: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_outputs_and_latency(program: Path, unpacked: Unpacked) -> None:
    done = run(program, unpacked.folder, *unpacked.arguments, "--runs", "20", "--threads", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["sum.out: float32 1,8,14,14", "maps.out: float32 1,16,14,14"]
    assert re.fullmatch(r"latency: median \d+\.\d{3} ms of 20 runs", done.stdout.splitlines()[2])
    unpacked.check_outputs()


X = ("--input", "1,8,14,14:x.in")
Z = ("--input", "1,8,14,14:z.in")
OUT = ("--output", "sum.out", "--output", "maps.out")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no model given; usage: run_model MODEL.so"),
        (("nothing.so",), "there is no model file 'nothing.so'"),
        (("model.tar",), "there is no model file 'model.tar'"),
        (("manifest.json",), "'manifest.json' is no library: unpack model.so"),
        (("model.so", "model.so"), "got two models"),
        (("model.so", *X, *OUT), "the model takes 2 inputs, got 1"),
        (("model.so", *X, *Z, *OUT[:2]), "the model gives 2 outputs, got 1 files"),
        (
            ("model.so", *X, "--input", "x.in", *OUT),
            "--input takes SHAPE:FILE, such as 1,3,224,224:picture.bin; got 'x.in'",
        ),
        (("model.so", *X, "--input", "1,8,14,-14:z.in", *OUT), "a whole number above zero, got '-14'"),
        (("model.so", *X, "--input", "1,8,14,:z.in", *OUT), "a whole number above zero, got ''"),
        (("model.so", *X, "--input", f"{'1000000000,' * 9}1:z.in", *OUT), "a shape is too large"),
        (("model.so", *X, "--input", "1,8,14,14:nothing.in", *OUT), "there is no input file 'nothing.in'"),
        (("model.so", *X, "--input", "1,8,14,14:.", *OUT), "there is no input file '.'"),
        (
            ("model.so", *X, "--input", "1,8,14:z.in", *OUT),
            "'z.in' has 6272 bytes; the shape 1,8,14 takes 448 (float32)",
        ),
        (("model.so", *X, "--input", "1,8,196,1:z.in", *OUT), "shape[2] mismatch"),
        (
            ("model.so", *X, *Z, "--output", "sum.out", "--output", "no/maps.out"),
            "cannot write output file 'no/maps.out'",
        ),
        (("model.so", *X, *Z, *OUT, "--runs", "0"), "--runs takes a whole number above zero, got '0'"),
        (("model.so", *X, *Z, *OUT, "--threads", "two"), "--threads takes a whole number above zero, got 'two'"),
        (("model.so", *X, *Z, *OUT, "--fast", "yes"), "unknown option '--fast'"),
        (("model.so", *X, *Z, *OUT, "--runs"), "--runs needs a value"),
    ],
)
def test_what_is_wrong(program: Path, unpacked: Unpacked, arguments: tuple[str, ...], says: str) -> None:
    done = run(program, unpacked.folder, *arguments)
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("run_model: error: ")
    assert says in done.stderr


def test_a_library_that_is_no_model(program: Path, unpacked: Unpacked) -> None:
    other = unpacked.folder / "other.so"
    subprocess.run(["g++", "-shared", "-o", other, "-xc++", "/dev/null"], check=True)
    done = run(program, unpacked.folder, "other.so")
    assert done.returncode == 2
    assert done.stderr == "run_model: error: 'other.so' is no model that tvmopt compiled: it lacks vm_load_executable\n"


def test_no_compiler_warnings(sample: Path) -> None:
    import tvm_ffi.libinfo

    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
    headers = ["-isystem", tvm_ffi.libinfo.find_include_path()]
    subprocess.run(["g++", "-std=c++17", "-fsyntax-only", *warnings, *headers, sample / "run_model.cc"], check=True)
