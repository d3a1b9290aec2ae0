"""Hashes of files that are made of pieces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tvmopt.pipeline.importers.recalling import file_hash
from tvmopt.pipeline.importers.recalling.file_hash import PIECE, hash_of, map_files

Save = Callable[[str, bytes], Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def hashed(paths: list[Path]) -> str:
    return hash_of(map_files(paths))


@pytest.mark.parametrize("size", [0, 1, 6, 7, 8, 15])
def test_the_content_and_its_hash(save: Save, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(file_hash, "PIECE", 7)
    content = bytes(range(size))
    path = save("a", content)
    (array,) = map_files([path])
    found = hash_of([array])
    assert array.tobytes() == content
    assert not array.flags.writeable or not size
    for place in range(size):  # every byte counts
        changed = bytearray(content)
        changed[place] ^= 1
        assert hashed([save("b", bytes(changed))]) != found


def test_where_one_file_ends_counts(save: Save) -> None:
    halves = hashed([save("a", b"12"), save("b", b"34")])
    assert halves != hashed([save("a", b"123"), save("b", b"4")])
    assert halves != hashed([save("a", b"34"), save("b", b"12")])
    assert halves != hashed([save("a", b"1234")])


def test_files_of_several_pieces(save: Save) -> None:
    content = np.random.default_rng(0).integers(0, 256, 2 * PIECE + 3, np.uint8)
    path = save("a", content.tobytes())
    (array,) = map_files([path])
    np.testing.assert_array_equal(array, content)
    found = hash_of([array])
    content[-1] ^= 1
    assert hash_of([content]) != found


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        hashed([tmp_path / "none"])
