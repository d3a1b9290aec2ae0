"""Output that is closed, full or of another encoding; files as umask says; variables that are no numbers."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.conftest import RunTvmopt
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.support import files
from tvmopt.pipeline.support.files import code_folder, replaced

pytestmark = pytest.mark.slow  # a process for each test


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs `command` in a shell, where ``$TVMOPT`` is the command line."""
    environment = {**os.environ, "TVMOPT": f"{sys.executable} -m tvmopt", "COLUMNS": "200"}
    return subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=folder, env=environment, check=False
    )


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("$TVMOPT targets > /dev/full", "No space left on device"),
        ("$TVMOPT targets >&-", "standard output is closed"),
        ("$TVMOPT logs >&-", "standard output is closed"),
    ],
)
def test_output_that_takes_nothing_is_one_line(tmp_path: Path, command: str, says: str) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert says in line


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "| head -1"])
def test_a_command_works_without_its_other_stream(tmp_path: Path, redirection: str) -> None:
    done = shell(f"$TVMOPT targets {redirection}", tmp_path)
    assert done.returncode == 0
    assert done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii"])
def test_characters_that_an_encoding_lacks_are_replaced(run_tvmopt: RunTvmopt, tmp_path: Path, encoding: str) -> None:
    model = tiny.save_onnx(tmp_path / "größe→.onnx", tiny.TWO_CONVOLUTIONS)
    for arguments in (("inspect", model), ("inspect", "nirgends→.onnx")):
        done = run_tvmopt(*arguments, environment={"PYTHONIOENCODING": encoding})
        assert "Traceback" not in done.stderr
        assert done.returncode == (0 if arguments[1] == model else 3)


def test_a_kernel_of_tvm_writes_no_warnings(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    graph = "g (int64[1,8] i) => (float[1,8,3,3] y) { j = Clip(i) y = Gather(w2, j) }"
    model = tiny.save_onnx(tmp_path / "g.onnx", graph.replace("float[1,8,3,3]", "float[1,8,16,1,1]"))
    done = run_tvmopt("compile", model, "-o", "g.tar")
    assert done.returncode == 0
    assert done.stderr == ""


@pytest.mark.parametrize(("value", "code"), [("abc", 2), ("0", 2), ("-1", 2), ("", 0), ("1", 0)])
def test_the_number_of_threads_from_the_environment(
    run_tvmopt: RunTvmopt, tmp_path: Path, value: str, code: int
) -> None:
    (tmp_path / "m.tar").write_bytes(tiny.artifact())
    done = run_tvmopt("run", "m.tar", "--check", environment={"TVM_NUM_THREADS": value})
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == (1 if code else 0)
    assert not code or f"such as 2; got {value!r}" in done.stderr


def test_nothing_to_tune_is_no_error(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    model = tiny.save_onnx(tmp_path / "g.onnx", "g (int64[4] x, int64[4] z) => (int64[4] y) { y = BitwiseAnd(x, z) }")
    done = run_tvmopt("tune", model, "--trials", "4")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing to tune")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_a_file_is_readable_as_umask_says(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with replaced(tmp_path / "file") as file:
            file.write(b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == mode
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with (
        pytest.raises(InputFileError, match=r"cannot write .*file: No space left on device"),
        replaced(tmp_path / "file"),
        Path("/dev/full").open("wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize(
    "command", ["inspect two.onnx --json new.json", "compile two.onnx -o new.tar", "run m.tar --check"]
)
def test_a_limit_on_the_size_of_files_is_one_line(tmp_path: Path, command: str) -> None:
    (tmp_path / "m.tar").write_bytes(tiny.artifact())
    tiny.save_two_convolutions(tmp_path)
    before = sorted(tmp_path.iterdir())
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 0
    done = shell(f"trap '' XFSZ; ulimit -f 1; $TVMOPT {command}", tmp_path)
    assert done.returncode in (1, 3)
    assert "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "model.so" not in done.stderr  # the artifact is whole, only a copy of it does not fit
    assert sorted(tmp_path.iterdir()) == before


def test_libraries_avoid_a_folder_where_nothing_may_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.tempfile, "gettempdir", lambda: str(tmp_path))
    assert code_folder() == str(tmp_path)
    usual = os.statvfs

    class Noexec:
        f_flag = os.ST_NOEXEC

    monkeypatch.setattr(files.os, "statvfs", lambda path: Noexec if str(path) == str(tmp_path) else usual(path))
    assert code_folder() != str(tmp_path)
