"""``tvmopt compile``: matching records, else transfers, else defaults; for any target; the same bytes each time."""

from __future__ import annotations

import json
import re
import shutil
import tarfile
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests import tiny
from tests.conftest import RunTvmopt
from tests.quantised import residual
from tvmopt.schedules.llvm.parts.quads import multiplies_bytes
from tvmopt.schedules.target import parse_target

pytestmark = pytest.mark.slow  # a process or two for each test

MANIFEST_TARGETS = {
    "aarch64": ("aarch64", "neon", "aarch64-linux-gnu-g++"),
    "armv7": ("armv7l", "neon32", "arm-linux-gnueabihf-g++"),
}
ELF_MACHINES = {"aarch64": 183, "armv7": 40, "x86-64-v3": 62}
"""Numbers of processor architectures in the header of an ELF file."""
FATBIN = bytes.fromhex("50ed55ba")
"""What a CUDA fat binary begins with."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.save_two_convolutions(tmp_path)


def read_member(artifact: Path, name: str) -> bytes:
    with tarfile.open(artifact) as tar:
        file = tar.extractfile(name)
        assert file is not None
        return file.read()


def manifest_of(artifact: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(read_member(artifact, "manifest.json"))
    return manifest


def origins(artifact: Path) -> dict[str, tuple[str, dict[str, int]]]:
    """Where each convolution's config came from, and the config."""
    tasks = manifest_of(artifact)["tasks"]
    return {task["task"]: (task["origin"], task["config"]) for task in tasks if task["task"].startswith("conv2d")}


@pytest.mark.slow
def test_two_processes_write_the_same_bytes(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    tiny.store_records(tmp_path / "logs", parse_target("llvm", 2))
    for out, seed in (("one.tar", "1"), ("two.tar", "2")):
        options = ("--threads", "2", "--logs", "logs", "-o", out)
        done = run_tvmopt("compile", model, *options, environment={"PYTHONHASHSEED": seed})
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_matching_records_are_used_and_named(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    configs = tiny.store_records(tmp_path / "logs", parse_target("llvm", 2))
    done = run_tvmopt("compile", model, "--threads", "2", "--logs", "logs", "-o", "out.tar")
    assert done.returncode == 0, done.stderr
    assert origins(tmp_path / "out.tar") == {name: ("record", dict(config)) for name, config in configs.items()}
    assert re.search(r"2 of \d kernels from records, the rest with their defaults", done.stdout)
    for name, config in configs.items():
        assert config["algorithm"] == 0
        # Only the knobs of its algorithm.
        knobs = f"rows {config['rows']} columns {config['columns']} vectors {config['vectors']} band"
        assert re.search(rf"{name} .* record +1 µs +direct +{knobs}", done.stdout), done.stdout
    assert run_tvmopt("run", "out.tar", "--check").returncode == 0


@pytest.mark.slow
def test_records_of_another_target_are_not_used_and_explained(
    run_tvmopt: RunTvmopt, model: Path, tmp_path: Path
) -> None:
    names = tiny.store_records(tmp_path / "logs", parse_target("llvm", 7))
    # Shipped records of related kernels may add more.
    done = run_tvmopt("compile", model, "--threads", "2", "--logs", "logs", "--no-transfer", "-o", "out.tar")
    assert done.returncode == 0, done.stderr
    assert "0 of " in done.stdout
    assert {name: origin for name, (origin, _) in origins(tmp_path / "out.tar").items()} == dict.fromkeys(
        names, "default"
    )
    told = run_tvmopt("logs", "explain", model, "--threads", "2", "--logs", "logs")
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("another target: threads 7, here 2") == 2
    assert re.search(
        r"^0 of \d tasks have a record that applies on \S+-2t.* the rest use the default$", told.stdout, re.MULTILINE
    )


@pytest.mark.slow
def test_a_transfer_is_named_and_may_be_refused(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    names = tiny.store_related(tmp_path / "logs", parse_target("llvm", 2))
    expected = {"one.tar": "transfer", "two.tar": "transfer", "none.tar": "default"}
    for seed, (out, origin) in enumerate(expected.items()):
        options = ("--no-transfer",) if origin == "default" else ()
        line = ("compile", model, "--threads", "2", "--logs", "logs", "-o", out, *options)
        done = run_tvmopt(*line, environment={"PYTHONHASHSEED": str(seed)})
        assert done.returncode == 0, done.stderr
        assert {name: came for name, (came, _) in origins(tmp_path / out).items()} == dict.fromkeys(names, origin)
        assert ("2 by transfer from related records, the rest with their defaults" in done.stdout) == (
            origin == "transfer"
        )
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    told = run_tvmopt("logs", "explain", model, "--threads", "2", "--logs", "logs")
    assert told.stdout.count("by transfer: ") == 2
    assert "2 by transfer from related records, the rest use the default" in told.stdout


@pytest.mark.parametrize("name", ["aarch64", "armv7"])
def test_compiling_for_arm(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path, name: str) -> None:
    arch, isa, linker = MANIFEST_TARGETS[name]
    if shutil.which(linker) is None:
        pytest.skip(f"{linker} is not installed")
    done = run_tvmopt("compile", model, "--target", name, "--threads", "4", "-o", "out.tar")
    assert done.returncode == 0, done.stderr
    target = manifest_of(tmp_path / "out.tar")["target"]
    assert (target["name"], target["arch"], target["isa"], target["threads"]) == (name, arch, isa, 4)
    library = read_member(tmp_path / "out.tar", "model.so")
    assert library[:4] == b"\x7fELF"
    assert int.from_bytes(library[18:20], "little") == ELF_MACHINES[name]
    assert f"for {target['key']}" in done.stdout


@pytest.mark.parametrize(("name", "arch"), [("cuda", "sm_75"), ("cuda:sm_90", "sm_90")])
def test_compiling_for_cuda(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path, name: str, arch: str) -> None:
    done = run_tvmopt("compile", model, "--target", name, "-o", "out.tar")
    assert done.returncode == 0, done.stderr
    target = manifest_of(tmp_path / "out.tar")["target"]
    assert (target["name"], target["arch"], target["isa"]) == (name, arch, "cuda")
    library = read_member(tmp_path / "out.tar", "model.so")
    assert b'extern "C" __global__ void' in library or FATBIN in library
    assert "TVM's GPU rules" in done.stdout


def test_names_that_look_like_markup(run_tvmopt: RunTvmopt, model: Path) -> None:
    proto = onnx.load(model)
    proto.graph.node[0].name = "[/x]:bug:"
    onnx.save(proto, model)
    done = run_tvmopt("compile", model, "-o", "out.tar")
    assert done.returncode == 0, done.stderr
    assert "[/x]:bug:" in done.stdout


def test_dynamic_shapes_and_batches(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    graph = tiny.TWO_CONVOLUTIONS.replace("float[1,8,14,14]", "float[N,8,H,W]").replace("[1,16,14,14]", "[A,B,C,D]")
    tiny.save_onnx(tmp_path / "open.onnx", graph)
    done = run_tvmopt("compile", "open.onnx", "--input-shape", "x:1,8,10,12", "--batch", "3", "-o", "out.tar")
    assert done.returncode == 0, done.stderr
    manifest = manifest_of(tmp_path / "out.tar")
    assert manifest["inputs"] == [{"name": "x", "shape": [3, 8, 10, 12], "dtype": "float32"}]
    assert manifest["outputs"] == [{"name": "y", "shape": [3, 16, 10, 12], "dtype": "float32"}]
    assert run_tvmopt("run", "out.tar", "--check").returncode == 0


def test_a_quantised_model_runs_as_integers_or_as_the_floats_that_it_describes(
    run_tvmopt: RunTvmopt, tmp_path: Path, model: Path
) -> None:
    onnx.save(residual(), tmp_path / "int.onnx")
    kinds = {}
    for precision in ("auto", "fp32"):
        done = run_tvmopt("compile", "int.onnx", "-o", f"{precision}.tar", "--precision", precision)
        assert done.returncode == 0, done.stderr
        steps = manifest_of(tmp_path / f"{precision}.tar")["steps"]
        kinds[precision] = {step["operator"] for step in steps}
    integers = multiplies_bytes(parse_target("llvm", 1))
    assert any(kind.startswith("integer") for kind in kinds["auto"]) == integers
    assert not any(kind.startswith("integer") for kind in kinds["fp32"])
    verified = run_tvmopt("verify", "int.onnx", "fp32.tar", "--precision", "fp32")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    another = run_tvmopt("verify", "int.onnx", "fp32.tar")
    assert another.returncode == 3
    refused = run_tvmopt("compile", model.name, "-o", "two.tar", "--precision", "int8")
    assert refused.returncode == 2
    assert "two.onnx: not quantised, so --precision int8 has nothing to run; quantise it first" in refused.stderr
    assert not (tmp_path / "two.tar").exists()
