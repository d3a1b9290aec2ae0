"""The C++ sample, built as its README says, gives the golden outputs and reports errors in one line."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import tiny
from tests.conftest import RunTvmopt
from tests.deploy.conftest import Unpacked, unpack
from tests.onnx_models import OnnxModel

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")]


WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


@pytest.fixture(scope="module")
def program(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, built as its README says."""
    blocks = re.findall(r"```sh\n(.*?)```", (sample / "README.md").read_text(), re.DOTALL)
    (command,) = [block for block in blocks if "g++" in block]
    folder = tmp_path_factory.mktemp("program")
    shutil.copy(sample / "run_model.cc", folder)
    # `python` must be the interpreter that runs the tests.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    subprocess.run(["bash", "-euc", command], cwd=folder, env=environment, check=True)
    return folder / "run_model"


@pytest.fixture
def unpacked(two_outputs: bytes, tmp_path: Path) -> Unpacked:
    return unpack(two_outputs, tmp_path)


def run(program: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_outputs_and_latency(program: Path, unpacked: Unpacked, threads: str) -> None:
    done = run(program, unpacked.folder, *unpacked.arguments, "--runs", "20", "--threads", threads)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["sum.out: float32 1,8,14,14", "maps.out: float32 1,16,14,14"]
    assert re.fullmatch(r"latency: median \d+\.\d{3} ms of 20 runs", done.stdout.splitlines()[2])
    unpacked.check_outputs()


def test_an_output_whose_size_is_found_at_run_time(program: Path, tmp_path: Path) -> None:
    graph = "found (float[4,6] x) => (int64[2,n] places, float[4,6] low) "
    unpacked = unpack(tiny.artifact(graph=f"{graph}{{ r = Relu (x) places = NonZero (r) low = Neg (r) }}"), tmp_path)
    names = ["room.out", "low.out", "count.out"]
    done = run(program, tmp_path, *unpacked.arguments[:3], *(word for name in names for word in ("--output", name)))
    assert done.returncode == 0, done.stderr
    (count,) = np.fromfile(tmp_path / "count.out", np.int64)
    room = np.fromfile(tmp_path / "room.out", np.int64).reshape(2, 24)
    assert 0 < count < 24
    np.testing.assert_array_equal(room[:, :count], unpacked.outputs["places"])


X = ("--input", "1,8,14,14:x.in")
Z = ("--input", "1,8,14,14:z.in")
OUT = ("--output", "sum.out", "--output", "maps.out")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "no model given; usage: run_model MODEL --input"),
        (("nothing",), "there is no model file 'nothing/model.so'"),
        (("model.so",), "'model.so' is no folder: unpack the artifact"),
        ((".", "."), "got two models"),
        ((".", *X, *OUT), "the model takes 2 inputs, got 1"),
        ((".", *X, *Z, *OUT[:2]), "the model gives 2 outputs, got 1 files"),
        (
            (".", *X, "--input", "x.in", *OUT),
            "--input takes SHAPE:FILE, such as 1,3,224,224:picture.bin; got 'x.in'",
        ),
        ((".", *X, "--input", "1,8,14,-14:z.in", *OUT), "input 2 has the shape 1,8,14,14, got '1,8,14,-14'"),
        ((".", *X, "--input", "1,8,14,:z.in", *OUT), "input 2 has the shape 1,8,14,14, got '1,8,14,'"),
        ((".", *X, "--input", f"{'1000000000,' * 9}1:z.in", *OUT), "input 2 has the shape 1,8,14,14, got '10000"),
        ((".", *X, "--input", "1,8,196,1:z.in", *OUT), "input 2 has the shape 1,8,14,14, got '1,8,196,1'"),
        ((".", *X, "--input", "1,8,14,14:nothing.in", *OUT), "there is no input file 'nothing.in'"),
        ((".", *X, "--input", "1,8,14,14:.", *OUT), "there is no input file '.'"),
        (
            (".", *X, "--input", "1,8,14,14:weights.bin", *OUT),
            "'weights.bin' has 4608 bytes; the shape 1,8,14,14 takes 6272 (float32)",
        ),
        (
            (".", *X, *Z, "--output", "sum.out", "--output", "no/maps.out"),
            "cannot write output file 'no/maps.out'",
        ),
        ((".", *X, *Z, *OUT, "--runs", "0"), "--runs takes a whole number above zero, got '0'"),
        ((".", *X, *Z, *OUT, "--threads", "two"), "--threads takes a whole number above zero, got 'two'"),
        ((".", *X, *Z, *OUT, "--fast", "yes"), "unknown option '--fast'"),
        ((".", *X, *Z, *OUT, "--runs"), "--runs needs a value"),
    ],
)
def test_the_program_names_the_error(program: Path, unpacked: Unpacked, arguments: tuple[str, ...], says: str) -> None:
    check_refused(run(program, unpacked.folder, *arguments), says)


def check_refused(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("run_model: error: ")
    assert says in done.stderr


@pytest.mark.parametrize("size", [0, 4607, 4609])
def test_weights_of_another_size(program: Path, unpacked: Unpacked, size: int) -> None:
    (unpacked.folder / "weights.bin").write_bytes(bytes(size))
    done = run(program, unpacked.folder, *unpacked.arguments)
    check_refused(done, f"weights file './weights.bin' has {size} bytes, the model takes 4608")


def test_without_weights(program: Path, unpacked: Unpacked) -> None:
    (unpacked.folder / "weights.bin").unlink()
    check_refused(run(program, unpacked.folder, *unpacked.arguments), "no weights file './weights.bin'; a model whose")


def test_a_library_that_is_no_model(program: Path, unpacked: Unpacked) -> None:
    library = unpacked.folder / "model.so"
    subprocess.run(["g++", "-shared", "-o", library, "-xc++", "/dev/null"], check=True)
    done = run(program, unpacked.folder, ".")
    assert done.returncode == 2
    assert (
        done.stderr
        == "run_model: error: './model.so' is no model that tvmopt compiled: it lacks tvmopt_weights_bytes\n"
    )
    library.write_bytes(b"no library at all")
    check_refused(run(program, unpacked.folder, "."), "cannot load './model.so': ")


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_no_compiler_warnings(sample: Path, header: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    options = ["-std=c++17", "-fsyntax-only", *WARNINGS, "-Wconversion", "-Wshadow", f"-I{header}"]
    subprocess.run([compiler, *options, sample / "run_model.cc"], check=True)


C_PROGRAM = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

int main(void) {
  const size_t bytes = (size_t)tvmopt_weights_bytes();
  void* weights = aligned_alloc(64, bytes);
  FILE* file = fopen("weights.bin", "rb");
  if (weights == NULL || file == NULL || fread(weights, 1, bytes, file) != bytes) return 1;
  fclose(file);
  tvmopt_model* model = tvmopt_open(weights, 2);
  if (model == NULL || tvmopt_open((char*)weights + 4, 2) != NULL || tvmopt_open(weights, 0) != NULL) return 2;
  for (int i = 0; tvmopt_input_spec(i) != NULL; ++i) {
    memset(tvmopt_input(model, i), 0, (size_t)tvmopt_input_spec(i)->bytes);
  }
  if (tvmopt_run(model) != 0) return 3;
  for (int i = 0; tvmopt_output_spec(i) != NULL; ++i) {
    const tvmopt_spec* spec = tvmopt_output_spec(i);
    const float* output = tvmopt_output(model, i);
    printf("%s %d %d %g\\n", spec->dtype, spec->ndim, (int)spec->shape[1], (double)output[0]);
  }
  if (tvmopt_input(model, 2) != NULL || tvmopt_output(model, -1) != NULL || tvmopt_kernel(99) != NULL) return 4;
  tvmopt_close(model);
  tvmopt_close(NULL);
  free(weights);
  return 0;
}
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_from_c(header: Path, unpacked: Unpacked) -> None:
    (unpacked.folder / "main.c").write_text(C_PROGRAM)
    command = ["gcc", "-std=c11", *WARNINGS, f"-I{header}", "main.c", "model.so", "-Wl,-rpath,$ORIGIN", "-o", "main"]
    subprocess.run(command, cwd=unpacked.folder, check=True)
    done = run(unpacked.folder / "main", unpacked.folder)
    assert done.returncode == 0
    assert done.stdout == "float32 4 8 0\nfloat32 4 16 0\n"


def test_an_index_that_is_out_of_range(
    program: Path, onnx_model: OnnxModel, run_tvmopt: RunTvmopt, tmp_path: Path
) -> None:
    table = np.arange(15, dtype=np.float32).reshape(5, 3)
    onnx.save(onnx_model(("Gather", "w i", "y"), inputs={"i": ("int64", 4)}, outputs="y", w=table), tmp_path / "g.onnx")
    assert run_tvmopt("compile", "g.onnx", "-o", "g.tar").returncode == 0
    with tarfile.open(tmp_path / "g.tar") as tar:
        tar.extractall(tmp_path, filter="data")
    arguments = (".", "--input", "4:i.in", "--output", "y.out")
    says = "layer 'Gather0' (Gather): an index is out of range; axis 0 has 5 elements"
    for wrong in (5, -6, 10**9, -(2**63)):
        np.array([0, 4, -5, wrong]).tofile(tmp_path / "i.in")
        done = run(program, tmp_path, *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"run_model: error: IndexError: {says}\n"
        np.savez(tmp_path / "i.npz", i=np.array([0, 4, -5, wrong]))
        asked = run_tvmopt("run", "g.tar", "--inputs", "i.npz")
        assert (asked.returncode, asked.stderr) == (5, f"tvmopt: error: {says}\n")
    np.array([0, 4, -5, -1]).tofile(tmp_path / "i.in")
    assert run(program, tmp_path, *arguments).returncode == 0
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y.out", np.float32).reshape(4, 3), table[[0, 4, -5, -1]])
