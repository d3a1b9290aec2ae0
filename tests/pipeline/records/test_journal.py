"""Append-only files: torn ends, several writers, atomic replacement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tvmopt.pipeline.records.journal import append_line, read_lines, rewrite

pytestmark = pytest.mark.slow  # a process or two for each test

WRITER = """
import sys
from pathlib import Path
from tvmopt.pipeline.records.journal import append_line
path, name, count, length = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for number in range(count):
    append_line(path, '["%s",%d,"%s"]' % (name, number, name * length))
    print(number, flush=True)
"""


def writer(path: Path, repository: Path, name: str, count: int, length: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count), str(length)],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(path: Path) -> list[bytes]:
    return [line for _, line in read_lines(path)]


def test_appends_and_reads(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folders" / "log"
    append_line(path, "[1]")
    append_line(path, '"é"')
    assert list(read_lines(path)) == [(1, b"[1]"), (2, '"é"'.encode())]


def test_blank_lines_count_but_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"[1]\n\n  \r\n[2]\r\n")
    assert list(read_lines(path)) == [(1, b"[1]"), (4, b"[2]")]


def test_a_line_break_within_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must not contain a line break"):
        append_line(tmp_path / "log", "[1,\n2]")
    assert not (tmp_path / "log").exists()


def test_a_torn_last_line_never_spoils_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    first, second = '{"a": [1, 2]}', '{"b": "text é"}'
    whole = f"{first}\n{second}\n".encode()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        complete = [
            line
            for line in (first, second)
            if whole[:length].startswith(whole[: whole.index(line.encode()) + len(line.encode())])
        ]
        assert lines(path) == [line.encode() for line in complete]
        append_line(path, "[3]")
        assert lines(path) == [*(line.encode() for line in complete), b"[3]"]


def test_a_torn_line_longer_than_a_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"[1]\n[" + b"2," * 100_000)
    assert lines(path) == [b"[1]"]
    append_line(path, "[3]")
    assert path.read_bytes() == b"[1]\n[3]\n"


def test_two_writers_do_not_mix_their_lines(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "log"
    writers = [writer(path, repository, name, 150, 5000) for name in "ab"]
    for process in writers:
        process.communicate(timeout=60)
        assert process.returncode == 0
    found = [json.loads(line) for line in lines(path)]
    for name in "ab":
        own = [entry for entry in found if entry[0] == name]
        assert [entry[1] for entry in own] == list(range(150))
        assert all(entry[2] == name * 5000 for entry in own)


def test_kill_9_tears_the_last_line_at_most(tmp_path: Path, repository: Path) -> None:
    path = tmp_path / "log"
    total = 0
    for number, length in enumerate((10, 100_000, 2_000_000)):
        process = writer(path, repository, "x", 100_000, length)
        assert process.stdout is not None
        for _ in range(3 + number):
            process.stdout.readline()
        process.kill()
        rest = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        confirmed = total + 3 + number + len(rest)
        found = [json.loads(line) for line in lines(path)]
        assert confirmed <= len(found) <= confirmed + 1
        total = len(found)
    append_line(path, "[]")
    assert json.loads(lines(path)[-1]) == []
    assert len(lines(path)) == total + 1


def test_rewriting_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    append_line(path, "[1]")

    def fail(log: Path) -> list[str]:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        rewrite(path, fail)
    with pytest.raises(RuntimeError):
        rewrite(tmp_path / "other", fail)
    assert path.read_bytes() == b"[1]\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["log"]
    rewrite(path, lambda log: ["[0]", *(line.decode() for line in lines(log))])
    assert path.read_bytes() == b"[0]\n[1]\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["log"]


def test_rewriting_waits_for_writers_and_they_for_it(tmp_path: Path, repository: Path) -> None:
    """A writer appends while the file is replaced repeatedly; no line is lost."""
    path = tmp_path / "log"
    process = writer(path, repository, "a", 200, 10)
    rounds = 0
    while process.poll() is None:
        rewrite(path, lambda log: [line.decode() for line in lines(log)])
        rounds += 1
    assert process.stdout is not None
    process.stdout.close()
    assert process.returncode == 0
    assert rounds > 3
    assert [json.loads(line)[1] for line in lines(path)] == list(range(200))


def test_a_link_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    append_line(real, "[1]")
    link.symlink_to(real)
    append_line(link, "[2]")
    rewrite(link, lambda log: [line.decode() for line in lines(log)][1:])
    assert link.is_symlink()
    assert real.read_bytes() == b"[2]\n"
