"""Bad input: one line with the problem, the value and the remedy; the exit code; no files left behind."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.conftest import RunTvmopt
from tvmopt.pipeline.importers.registry import listed_forms

pytestmark = pytest.mark.slow  # a process or two for each test

Refused = Callable[..., str]

UNSUPPORTED = """strange (float[1,4,4] x) => (float[1,4,4] y) {
    a = RandomUniformLike (x)
    b = RandomUniformLike (a)
    y = RandomNormalLike (b)
}"""
DYNAMIC = """open (float[N,8,H,W] x) => (float[A,B,C,D] y) {
    y = Conv <pads = [1, 1, 1, 1]> (x, w1)
}"""
FACTORIES = """import torch

def raises():
    raise ValueError("no weights here")

def returns_a_number():
    return 3

def returns_no_module():
    return "net", torch.zeros(1, 3)

def build():
    return torch.nn.Linear(3, 4), (torch.zeros(1, 3),)
"""


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type, entry.linkname = len(content), kind, link
    return entry, content


def pack(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for entry, content in members:
            tar.addfile(entry, io.BytesIO(content))


def unpacked(content: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {entry.name: file.read() for entry in tar if (file := tar.extractfile(entry)) is not None}


def repack(path: Path, parts: dict[str, bytes], **changes: object) -> None:
    """Writes an artifact of `parts` with a changed manifest."""
    manifest = {**json.loads(parts["manifest.json"]), **changes}
    pack(
        path,
        *(member(name, content) for name, content in {**parts, "manifest.json": json.dumps(manifest).encode()}.items()),
    )


def write_models(folder: Path) -> None:
    model = tiny.save_two_convolutions(folder).read_bytes()
    (folder / "truncated.onnx").write_bytes(model[: len(model) // 2])
    (folder / "empty.onnx").touch()
    (folder / "text.onnx").write_text("not a model\n")
    (folder / "folder.onnx").mkdir()
    (folder / "weights.pt").write_bytes(pickle.dumps({}))
    (folder / "truncated.pt2").write_bytes(b"PK\x03\x04 and no more")
    (folder / "net.py").write_text(FACTORIES)
    (folder / "broken.py").write_text("def build(:\n")
    tiny.save_onnx(folder / "strange.onnx", UNSUPPORTED)
    tiny.save_onnx(folder / "open.onnx", DYNAMIC)


def write_artifacts(folder: Path) -> None:
    content = tiny.artifact()
    parts = unpacked(content)
    members = [member(name, part) for name, part in parts.items()]
    (folder / "model.tar").write_bytes(content)
    (folder / "truncated.tar").write_bytes(content[: len(content) // 2])
    (folder / "empty.tar").touch()
    (folder / "text.tar").write_text("not a tar\n" * 100)
    pack(folder / "other.tar", member("README", b"something else"))
    pack(folder / "climbs.tar", *members, member("../escaped", b"x"))
    pack(folder / "absolute.tar", *members, member(str(folder / "escaped"), b"x"))
    pack(folder / "symlink.tar", *members[:2], member("model.so", kind=tarfile.SYMTYPE, link="/etc/passwd"))
    pack(folder / "hardlink.tar", *members[:2], member("model.so", kind=tarfile.LNKTYPE, link="../model.so"))
    pack(folder / "fifo.tar", *members[:2], member("model.so", kind=tarfile.FIFOTYPE))
    pack(folder / "changed.tar", *(member(n, p[:-1] + b"!" if n == "model.so" else p) for n, p in parts.items()))
    fake = b"\x7fELF no library"
    repack(folder / "fake.tar", {**parts, "model.so": fake}, library_sha256=hashlib.sha256(fake).hexdigest())
    repack(folder / "golden.tar", {**parts, "golden.npz": parts["golden.npz"][:-60]})
    repack(folder / "newer.tar", parts, format_version=99)
    repack(folder / "hollow.tar", parts, target={"isa": "avx2"})
    (folder / "aarch64.tar").write_bytes(tiny.artifact("aarch64"))


def write_arrays(folder: Path) -> None:
    right = np.zeros((1, 8, 14, 14), np.float32)
    np.savez(folder / "right.npz", x=right)
    np.savez(folder / "names.npz", X=right)
    np.savez(folder / "more.npz", x=right, mask=right)
    np.savez(folder / "shapes.npz", x=right[:, :3])
    np.savez(folder / "dtypes.npz", x=right.astype(np.float64))
    np.savez(folder / "objects.npz", x=np.array([{}], dtype=object))
    np.save(folder / "single.npy", right)
    content = (folder / "right.npz").read_bytes()
    (folder / "truncated.npz").write_bytes(content[: len(content) // 2])
    (folder / "text.npz").write_text("not arrays")


def write_logs(folder: Path) -> None:
    logs = folder / "corrupt" / "x86_64-avx2-2t"
    logs.mkdir(parents=True)
    target = tiny.parse_target("x86-64-v3", 2)
    task = tiny.tasks(target)[0]
    line = tiny.record(task, target, tiny.another_config(task, target)).to_line()
    (logs / "two.jsonl").write_text(f"{line}\n{line[:100]}\n{line}\n")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the cases name; no case may change it."""
    folder = tmp_path_factory.mktemp("shelf")
    (folder / "tmp").mkdir()
    for write in (write_models, write_artifacts, write_arrays, write_logs):
        write(folder)
    return folder


def listing(folder: Path) -> dict[Path, int]:
    """All folders, and all files with modification times, except the one file that onnxruntime keeps in TMPDIR."""
    found = (path for path in folder.rglob("*") if path.name != ".ses")
    return {path: path.stat().st_mtime_ns if path.is_file() else 0 for path in found}


@pytest.fixture
def refused(run_tvmopt: RunTvmopt, shelf: Path) -> Refused:
    """Runs a command that must fail; returns its one line without the prefix common to all."""

    def run(command: str, code: int, **environment: str) -> str:
        before = listing(shelf)
        done = run_tvmopt(*command.split(), cwd=shelf, environment={"TMPDIR": str(shelf / "tmp"), **environment})
        assert done.returncode == code, done.stdout + done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("tvmopt: error: ")
        assert done.stdout == ""
        assert listing(shelf) == before
        return done.stderr.removeprefix("tvmopt: error: ").rstrip()

    return run


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [
        ("tow.onnx", 3, ["'tow.onnx' does not exist", "did you mean two.onnx"]),
        ("nowhere/two.onnx", 3, ["there is no folder 'nowhere'"]),
        ("truncated.onnx", 3, ["cut short or damaged"]),
        ("empty.onnx", 3, ["is empty (0 bytes)"]),
        ("text.onnx", 3, ["not an ONNX model"]),
        ("corrupt", 3, ["is a folder", listed_forms()]),
        ("folder.onnx", 3, ["is a folder"]),
        ("weights.pt", 3, ["is a pickle", "torch.export.save"]),
        ("truncated.pt2", 3, ["truncated.pt2"]),
        ("strange.onnx", 4, ["RandomUniformLike (2x", "RandomNormalLike (1x"]),
        ("open.onnx", 4, ["'x' (N,8,H,W)", "--input-shape x:1,8,224,224"]),
        ("open.onnx --input-shape x:1,8,14", 2, ["4 dimensions", "1,8,14"]),
        ("open.onnx --input-shape y:1,8,14,14", 2, ["unknown input 'y'", "known: x"]),
        ("open.onnx --input-shape 1,8,14,14", 2, ["x:1,3,224,224", "'1,8,14,14'"]),
        ("broken.py:build", 3, ["line 1"]),
        ("net.py", 2, ["net.py:raises"]),
        ("net.py:biuld", 3, ["unknown factory 'biuld'", "did you mean build"]),
        ("net.py:raises", 4, ["ValueError at net.py:4: no weights here"]),
        ("net.py:returns_a_number", 4, ["returned int", "(nn.Module, example inputs"]),
        ("net.py:returns_no_module", 4, ["returned str as the model", "(nn.Module, example inputs"]),
    ],
)
def test_models(refused: Refused, model: str, code: int, says: list[str]) -> None:
    line = refused(f"compile {model} -o out.tar", code)
    assert all(part in line for part in says), line


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("tunne two.onnx", ["unknown command 'tunne'", "did you mean tune"]),
        ("compile two.onnx -o out.tar --target aarch46", ["unknown target 'aarch46'", "did you mean aarch64", "armv7"]),
        ("compile two.onnx -o out.tar --target cuda:90", ["unknown target 'cuda:90'", "cuda:sm_90"]),
        ('compile two.onnx -o out.tar --target {"kind":', ["not valid JSON"]),
        ('compile two.onnx -o out.tar --target {"kind":"vulkan"}', ["'llvm' or 'cuda', got 'vulkan'"]),
        ("tune two.onnx --target amrv7", ["unknown target 'amrv7'", "did you mean armv7"]),
        ("tune two.onnx --tuner xgboost", ["unknown tuner 'xgboost'", "did you mean xgb", "ga, grid, random, xgb"]),
        ("tune two.onnx --tasks conv9*", ["no task matches 'conv9*'", "conv2d-"]),
        ("tune two.onnx --trials -1", ["--trials", "-1"]),
        ("tune two.onnx --time-limit 5", ["300s, 5m or 1h", "'5'"]),
        ("tune two.onnx --logs two.onnx", ["two.onnx", "file"]),
        ("compile two.onnx -o out.tar --logs two.onnx", ["two.onnx", "file"]),
        ("compare two.onnx --runtimes onnxruntme", ["unknown runtime 'onnxruntme'", "did you mean onnxruntime"]),
        ("compile two.onnx", ["--output"]),
        ("compile two.onnx -o nowhere/out.tar", ["no folder 'nowhere'"]),
        ("compile two.onnx -o corrupt", [".tar", "'corrupt'"]),
        ("compile two.onnx -o out.zip", [".tar", "'out.zip'"]),
        ("run model.tar", ["--inputs FILE.npz", "--check"]),
        ("run model.tar --check --outputs out.npz", ["--outputs", "--inputs"]),
        ("run model.tar --inputs right.npz --outputs nowhere/out.npz", ["no folder 'nowhere'"]),
        ("run model.tar --inputs right.npz --outputs out.txt", [".npz", "'out.txt'"]),
        ("run model.tar --check --repeat 0", ["--repeat"]),
    ],
)
def test_arguments(refused: Refused, command: str, says: list[str]) -> None:
    line = refused(command, 2)
    assert all(part in line for part in says), line


@pytest.mark.parametrize(
    ("artifact", "code", "says"),
    [
        ("nothing.tar", 3, ["does not exist", "tvmopt compile"]),
        ("corrupt", 3, ["is a directory", "tvmopt compile"]),
        ("two.onnx", 3, ["not a readable tar"]),
        ("text.tar", 3, ["not a readable tar"]),
        ("empty.tar", 3, ["empty.tar"]),
        ("truncated.tar", 3, ["truncated.tar", "tvmopt compile"]),
        ("other.tar", 3, ["an entry 'README'"]),
        ("climbs.tar", 3, ["an entry '../escaped'"]),
        ("absolute.tar", 3, ["an entry '/", "escaped'"]),
        ("symlink.tar", 3, ["a link 'model.so'"]),
        ("hardlink.tar", 3, ["a link 'model.so'"]),
        ("fifo.tar", 3, ["an entry 'model.so'"]),
        ("changed.tar", 3, ["model.so is not what the manifest describes"]),
        ("fake.tar", 3, ["model.so is not a library of a model"]),
        ("golden.tar", 3, ["golden.npz cannot be read"]),
        ("newer.tar", 3, ["format version 99", "reads 3"]),
        ("hollow.tar", 3, ["manifest.json does not describe a model", "compile again"]),
        ("aarch64.tar", 8, ["compiled for aarch64 neon", "run it there"]),
    ],
)
def test_artifacts(refused: Refused, artifact: str, code: int, says: list[str]) -> None:
    line = refused(f"run {artifact} --check", code)
    assert all(part in line for part in says), line


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has an NVIDIA GPU")
def test_artifact_for_a_gpu_where_there_is_none(refused: Refused, shelf: Path) -> None:
    (shelf / "cuda.tar").write_bytes(tiny.artifact("cuda"))
    assert "run on a machine with an NVIDIA GPU and its driver" in refused("run cuda.tar --check", 8)


@pytest.mark.parametrize(
    ("arrays", "code", "says"),
    [
        ("nothing.npz", 3, ["does not exist"]),
        ("corrupt", 3, ["is a directory"]),
        ("text.npz", 3, ["not a readable .npz"]),
        ("truncated.npz", 3, ["not a readable .npz"]),
        ("objects.npz", 3, ["not a readable .npz", "pickle"]),
        ("single.npy", 3, ["not a readable .npz"]),
        ("names.npz", 5, ["missing 'x'", "unknown 'X'", "the model has 'x'"]),
        ("more.npz", 5, ["unknown 'mask'"]),
        ("shapes.npz", 5, ["'x' has shape 1,3,14,14", "1,8,14,14"]),
        ("dtypes.npz", 5, ["'x' has dtype float64", "float32"]),
    ],
)
def test_inputs(refused: Refused, arrays: str, code: int, says: list[str]) -> None:
    line = refused(f"run model.tar --inputs {arrays} --outputs out.npz", code)
    assert all(part in line for part in says), line


@pytest.mark.parametrize(
    "command", ["compile two.onnx -o out.tar", "tune two.onnx --trials 4", "logs show", "logs explain two.onnx"]
)
def test_a_corrupt_line_in_a_log(refused: Refused, command: str) -> None:
    line = refused(f"{command} --logs corrupt", 3)
    assert "corrupt/x86_64-avx2-2t/two.jsonl:2: not a record" in line
    assert "tvmopt logs prune --corrupt-only" in line


@pytest.mark.parametrize("target", ["aarch64", "armv7", "cuda"])
def test_tuning_for_what_this_machine_cannot_run(refused: Refused, target: str) -> None:
    line = refused(f"tune two.onnx --target {target}", 8)
    assert "tune on a machine that can and copy its records" in line


@pytest.mark.parametrize(
    ("target", "package"), [("aarch64", "g++-aarch64-linux-gnu"), ("armv7", "g++-arm-linux-gnueabihf"), ("llvm", "g++")]
)
def test_compiling_without_a_linker(refused: Refused, shelf: Path, target: str, package: str) -> None:
    line = refused(f"compile two.onnx -o out.tar --target {target}", 8, PATH=str(shelf / "tmp"))
    assert line.endswith(f"apt-get install {package}")
