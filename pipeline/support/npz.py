"""Named arrays in .npz files: files from anywhere, and files that our processes exchange."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MAX_BYTES = 8 << 30
"""The largest total size of a file's arrays, unpacked, in bytes."""


def read_npz(file: IO[bytes]) -> dict[str, Array]:
    """The arrays of an .npz file by name; nothing is unpickled.

    Raises:
        ValueError: with one line, when the file is not an .npz file, damaged, or would take too much memory.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            claimed = sum(info.file_size for info in archive.infolist())
        if claimed > MAX_BYTES:
            raise ValueError(f"its arrays claim {claimed} bytes, more than the {MAX_BYTES} allowed")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except zipfile.BadZipFile as error:
        raise ValueError(f"it is not a whole .npz file: {error}") from error
    except (SyntaxError, tokenize.TokenError) as error:
        raise ValueError("the header of an array is damaged") from error
    except (
        EOFError,
        KeyError,
        MemoryError,
        NotImplementedError,  # a compression method that Python does not have
        OSError,
        RuntimeError,  # encrypted
        ValueError,
        zlib.error,
    ) as error:
        raise ValueError((str(error) or repr(error)).splitlines()[0]) from error
    strange = [name for name, array in found.items() if not isinstance(array, np.ndarray)]
    if strange:
        raise ValueError(f"{', '.join(map(repr, strange))} is not an array")
    return found


def write_npz(file: IO[bytes], arrays: Mapping[str, Array]) -> None:
    """Writes `arrays` as an .npz file: any names, and the same bytes for the same arrays."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def save_arrays(path: str | Path, arrays: Mapping[str, Array]) -> None:
    """Writes `arrays` to the .npz file at `path`, as `write_npz` does."""
    with Path(path).open("wb") as file:
        write_npz(file, arrays)


def load_arrays(path: str | Path) -> dict[str, Array]:
    """The arrays of the .npz file at `path`, in the order they were saved.

    Raises:
        ValueError: as `read_npz`.
    """
    with Path(path).open("rb") as file:
        return read_npz(file)
