"""The C++ sample and a model, both cross-compiled for Arm, give the golden outputs under qemu."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import tiny
from tests.deploy.conftest import unpack
from tests.quantised import residual
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.importers import load_model
from tvmopt.schedules.target import parse_target


@dataclass(frozen=True, slots=True)
class Arm:
    """The tools that build and run programs for one kind of Arm."""

    target: str
    compiler: str
    emulator: str
    system: str


ARMS = (
    Arm("aarch64", "aarch64-linux-gnu-g++", "qemu-aarch64-static", "/usr/aarch64-linux-gnu"),
    Arm("armv7", "arm-linux-gnueabihf-g++", "qemu-arm-static", "/usr/arm-linux-gnueabihf"),
)


@pytest.fixture(scope="module", params=ARMS, ids=lambda arm: arm.target)
def arm(request: pytest.FixtureRequest) -> Arm:
    """Each kind of Arm whose tools are installed."""
    arm: Arm = request.param
    for tool in (arm.compiler, arm.emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    return arm


@pytest.fixture(scope="module")
def program(arm: Arm, sample: Path, header: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample, built for it."""
    program = tmp_path_factory.mktemp(arm.target) / "run_model"
    options = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", f"-I{header}", "-ldl"]
    subprocess.run([arm.compiler, sample / "run_model.cc", "-o", program, *options], check=True)
    return program


@pytest.mark.parametrize("threads", [1, 2])
def test_under_qemu(arm: Arm, program: Path, tmp_path: Path, threads: int) -> None:
    unpacked = unpack(tiny.artifact(arm.target, threads=2, graph=tiny.TWO_OUTPUTS), tmp_path)
    done = subprocess.run(
        [arm.emulator, "-L", arm.system, program, *unpacked.arguments, "--runs", "10", "--threads", str(threads)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("sum.out: float32 1,8,14,14\nmaps.out: float32 1,16,14,14\n")
    assert re.search(r"^latency: median \d+\.\d{3} ms of 10 runs$", done.stdout, re.MULTILINE)
    unpacked.check_outputs()


def test_the_library_needs_only_libc(arm: Arm, tmp_path: Path) -> None:
    unpack(tiny.artifact(arm.target, threads=2, graph=tiny.TWO_OUTPUTS), tmp_path)
    listed = subprocess.run(["readelf", "-d", tmp_path / "model.so"], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"NEEDED.*\[(.*?)\.so", listed)
    assert set(needed) <= {"libc", "libm", "libpthread", "ld-linux-armhf", "ld-linux-aarch64"}


I8MM = '{"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "generic", "mattr": ["+v8.2a", "+dotprod", "+i8mm"]}'


@pytest.mark.parametrize("target", ["aarch64-dotprod", I8MM], ids=["dotprod", "i8mm"])
def test_integers_under_qemu(arm: Arm, program: Path, tmp_path: Path, target: str) -> None:
    """Dot products of signed bytes, and of unsigned with signed ones: each result is at most a step off."""
    if arm.target != "aarch64":
        pytest.skip("32-bit Arm has no dot product")
    onnx.save(residual(), tmp_path / "residual.onnx")
    model = load_model(str(tmp_path / "residual.onnx"))
    compile_model(model, parse_target(target, 1), None, tmp_path / "model.tar")
    unpacked = unpack((tmp_path / "model.tar").read_bytes(), tmp_path)
    assert b"integer_depthwise" in (tmp_path / "manifest.json").read_bytes()
    command = [arm.emulator, "-cpu", "max", "-L", arm.system, program, *unpacked.arguments, "--threads", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    ((name, expected),) = unpacked.outputs.items()
    made = np.fromfile(tmp_path / f"{name}.out", np.float32).reshape(expected.shape)
    assert np.abs(expected).max() > 0.2
    assert np.abs(made - expected).max() <= 0.02
