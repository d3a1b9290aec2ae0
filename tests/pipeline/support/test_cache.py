"""The cache on disk: two processes at once, damaged entries, a limited size, no folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.support.cache import OFF, VARIABLE, Cache, digest, open_cache

KEY, OTHER = digest("a"), digest("b")


def test_entries_are_found_again(tmp_path: Path) -> None:
    Cache(tmp_path / "new").put("kernel", KEY, b"machine code")
    cache = Cache(tmp_path / "new")
    assert cache.get("kernel", KEY) == b"machine code"
    assert cache.get("kernel", OTHER) is None
    assert cache.get("layer", KEY) is None
    cache.close()
    facts = Cache(tmp_path / "new").facts()
    assert (facts.entries, facts.hits, facts.misses) == ({"kernel": 1}, 1, 2)
    assert facts.nbytes["kernel"] == len(b"machine code") + 32


def test_empty_content_is_content(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("seen", KEY, b"")
    assert cache.get("seen", KEY) == b""


@pytest.mark.parametrize("damage", [b"", b"short", bytes(32) + b"machine code", None])
def test_damaged_entries_are_removed(tmp_path: Path, damage: bytes | None) -> None:
    cache = Cache(tmp_path)
    cache.put("kernel", KEY, b"machine code")
    (entry,) = tmp_path.glob("kernel/*/*")
    entry.write_bytes(entry.read_bytes()[:-1] if damage is None else damage)
    assert cache.get("kernel", KEY) is None
    assert not entry.exists()
    cache.put("kernel", KEY, b"machine code")
    assert cache.get("kernel", KEY) == b"machine code"


def test_the_least_recently_used_entries_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, limit_bytes=1000)
    keys = [digest(number) for number in range(12)]
    for number, key in enumerate(keys):
        cache.put("kernel", key, bytes(68))
        (entry,) = tmp_path.glob(f"kernel/*/{key}")
        os.utime(entry, (number, number))
    assert cache.get("kernel", keys[0]) is not None  # used now, so it stays
    cache.close()
    left = {key for key in keys if Cache(tmp_path).get("kernel", key) is not None}
    assert keys[0] in left
    assert keys[-1] in left
    assert keys[1] not in left
    assert sum(Cache(tmp_path).facts().nbytes.values()) <= 800


def test_unfinished_files_of_killed_processes(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("kernel", KEY, b"machine code")
    (entry,) = tmp_path.glob("kernel/*/*")
    old, new = entry.parent / ".new-old", entry.parent / ".new-new"
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    os.utime(old, (1, 1))
    assert cache.facts().entries == {"kernel": 1}
    assert not old.exists()
    assert new.exists()


def test_clearing_leaves_other_files(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("kernel", KEY, b"machine code")
    cache.put("native", OTHER, b"runtime")
    cache.close()
    (tmp_path / "mine.txt").write_text("mine")
    assert cache.clear() == 2
    assert cache.facts().entries == {}
    assert (tmp_path / "mine.txt").read_text() == "mine"


_WRITER = """
import sys
from pathlib import Path
from tvmopt.pipeline.support.cache import Cache, digest
cache = Cache(Path(sys.argv[1]), limit_bytes=40_000)
for turn in range(200):
    key = digest(turn % 10)
    content = bytes([turn % 10]) * 5000
    found = cache.get("kernel", key)
    assert found in (None, content), "half an entry"
    cache.put("kernel", key, content)
    cache.close()
"""


def test_two_processes_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in running:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert sum(Cache(tmp_path).facts().nbytes.values()) <= 40_000 + 5032


def test_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = Cache(tmp_path / "file")
    cache.put("kernel", KEY, b"machine code")
    assert cache.get("kernel", KEY) is None
    cache.close()
    assert cache.clear() == 0


def test_without_a_folder() -> None:
    cache = Cache(None)
    cache.put("kernel", KEY, b"machine code")
    assert cache.get("kernel", KEY) is None
    assert (cache.facts().entries, cache.clear()) == ({}, 0)
    cache.close()


def test_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "mine"))
    assert open_cache().folder == tmp_path / "mine"
    monkeypatch.setenv(VARIABLE, OFF)
    assert open_cache().folder is None
    monkeypatch.setenv(VARIABLE, "here")
    with pytest.raises(UsageError, match="TVMOPT_CACHE must be an absolute path or 'off', got 'here'"):
        open_cache()
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert open_cache().folder == tmp_path / "tvmopt"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_cache().folder == tmp_path / ".cache" / "tvmopt"


def test_a_folder_in_the_place_of_an_entry_is_none(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put("kernel", "a" * 64, b"content")
    (tmp_path / "kernel" / "bb" / ("b" * 64)).mkdir(parents=True)
    cache.put("kernel", "b" * 64, b"content")
    assert cache.get("kernel", "b" * 64) is None
    assert cache.facts().entries == {"kernel": 1}
    assert cache.clear() == 1
    assert cache.facts().entries == {}
