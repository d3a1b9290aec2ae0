"""Arrays: .npz files written, read, damaged and hostile."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Mapping

import numpy as np
import pytest

from tvmopt.pipeline.support.npz import read_npz, write_npz

ARRAYS: Mapping[str, np.ndarray] = {
    "file": np.arange(6, dtype=np.float32).reshape(2, 3),  # numpy.savez takes this name for its own parameter
    "allow_pickle": np.array(3),
    "input:x/0": np.zeros((0, 2), np.int8),
    "b": np.array([True, False]),
}


def written(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    write_npz(file, arrays)
    return file.getvalue()


def test_arrays_of_any_name_come_back() -> None:
    found = read_npz(io.BytesIO(written(ARRAYS)))
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert written(ARRAYS) == written(ARRAYS)


def test_damage_is_a_value_error_of_one_line() -> None:
    compressed = io.BytesIO()
    np.savez_compressed(compressed, x=ARRAYS["file"])
    generator = random.Random(0)
    refused = []
    for _ in range(2000):
        damaged = bytearray(generator.choice((written(ARRAYS), compressed.getvalue())))
        for _ in range(generator.choice((1, 4))):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            read_npz(io.BytesIO(damaged[: generator.choice((None, None, generator.randrange(len(damaged))))]))
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 1000
    assert all(line and "\n" not in line for line in refused)


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1099511627776), }", "."),
        ("{'descr': '<f4', 'fortran_order': False, 'shape': (17592186044416,), }", "."),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "pickle"),
        ("{'descr': '<f4', 'shape': (", "header"),
        ("__import__('os').system('true')", "malformed"),
    ],
)
def test_headers_that_lie(header: str, says: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        text = header.ljust(117) + "\n"
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + b"\0" * 4)
    with pytest.raises(ValueError, match=says):
        read_npz(file)


def test_a_file_that_claims_more_than_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tvmopt.pipeline.support.npz.MAX_BYTES", 100)
    with pytest.raises(ValueError, match="claim .* bytes, more than the 100 allowed"):
        read_npz(io.BytesIO(written(ARRAYS)))


def test_files_that_hold_no_array() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "hello")
    with pytest.raises(ValueError, match=r"'notes\.txt' is not an array"):
        read_npz(file)
