"""Reads MXNet's `.params`: finds each array in the file, and reads one when it is asked for.

The format is that of `NDArray::Save` in MXNet's src/ndarray/ndarray.cc: a list of arrays, each in one of four versions,
then a list of their names.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.base import Stored, StoredTensor
from tvmopt.pipeline.importers.check.pair import find_partner

_LIST = 0x112
_V1, _V2, _V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DTYPES = ("<f4", "<f8", "<f2", "|u1", "<i4", "|i1", "<i8", "|b1")
_MOST_DIMENSIONS = 32
_SYMBOL, _PARAMS = "-symbol.json", ".params"


@dataclass(frozen=True, slots=True)
class Param:
    """An array in the file.

    Attributes:
        file: the `.params`.
        shape: its shape.
        dtype: of its elements.
        offset: where they begin, in bytes.
    """

    file: Path
    shape: tuple[int, ...]
    dtype: str
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of the elements."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def read(self) -> npt.NDArray[Any]:
        """The elements; those of half or double precision as float32."""
        with self.file.open("rb") as file:
            file.seek(self.offset)
            content = file.read(self.nbytes)
        array = np.frombuffer(content, self.dtype).reshape(self.shape)
        return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def find_files(path: Path) -> tuple[Path, Path]:
    """The symbol and the parameters of the network of which `path` is one file.

    Raises:
        InputFileError: the other is not there, or there are several.
    """
    if path.name.lower().endswith(_PARAMS):
        return find_partner(path, _PARAMS, _SYMBOL), path
    return path, find_partner(path, _SYMBOL, _PARAMS)


def read_params(path: Path) -> Mapping[str, Param]:
    """The arrays of the file at `path`, by name, without ``arg:`` and ``aux:``.

    Raises:
        InputFileError: it is no such file, cut short, or holds sparse arrays.
    """
    try:
        nbytes = path.stat().st_size
        if not nbytes:
            raise InputFileError(f"{path.name!r} is empty (0 bytes): the parameters of an MXNet network were expected")
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return _Reader(path, content).params()
    except OSError as error:
        raise InputFileError(f"{path.name!r} cannot be read: {error.strerror}") from error
    except (struct.error, ValueError) as error:
        raise InputFileError(
            f"{path.name!r} ({nbytes} bytes) holds no parameters of an MXNet network, or is cut short: {error}"
        ) from error


def stored_params(symbol: Path, params: Path) -> Stored:
    """The files of a network, and where its parameters are in them; raises as `read_params`."""
    found = read_params(params).values()
    return Stored((symbol, params), tuple(StoredTensor(1, one.offset, one.nbytes) for one in found))


class _Reader:
    """Reads from the front; `_place` is where it is."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path, self._content, self._place = path, content, 0

    def params(self) -> dict[str, Param]:
        magic, _, count = self._take("<QQQ")
        if magic != _LIST:
            raise ValueError(f"it begins with {magic:#x} instead of {_LIST:#x}")
        if count > len(self._content):
            raise ValueError(f"it announces {count} arrays")
        arrays = [self._array() for _ in range(count)]
        (named,) = self._take("<Q")
        if named != count:
            raise ValueError(f"it has {count} arrays and {named} names")
        found: dict[str, Param] = {}
        for array in arrays:
            (length,) = self._take("<Q")
            name = self._bytes(length).decode().removeprefix("arg:").removeprefix("aux:")
            if array is not None:
                found[name] = array
        return found

    def _array(self) -> Param | None:
        """The next array; None for one without elements."""
        (magic,) = self._take("<I")
        if magic in (_V2, _V3):
            (storage,) = self._take("<i")
            if storage > 0:
                raise ValueError("an array is sparse: save the network with dense ones (tostype('default'))")
            shape = self._shape("q")
        elif magic == _V1:
            shape = self._shape("q")
        else:
            self._place -= 4  # the oldest files begin with the number of dimensions
            shape = self._shape("I")
        if shape is None or (not shape and magic != _V3):
            return None
        _, _, kind = self._take("<iii")
        if kind not in range(len(_DTYPES)):
            raise ValueError(f"an array has elements of the unknown kind {kind}")
        param = Param(self._path, shape, _DTYPES[kind], self._place)
        self._bytes(param.nbytes, skip=True)
        return param

    def _shape(self, width: str) -> tuple[int, ...] | None:
        (count,) = self._take("<i")
        if count == -1:
            return None
        if not 0 <= count <= _MOST_DIMENSIONS:
            raise ValueError(f"an array has {count} dimensions")
        shape = self._take(f"<{count}{width}")
        if any(size < 0 for size in shape):
            raise ValueError(f"an array has shape {list(shape)}")
        return shape

    def _take(self, form: str) -> tuple[Any, ...]:
        return struct.unpack(form, self._bytes(struct.calcsize(form)))

    def _bytes(self, count: int, skip: bool = False) -> bytes:
        start, self._place = self._place, self._place + count
        if self._place > len(self._content):
            raise ValueError(f"{count} bytes at {start} are beyond its end")
        return b"" if skip else self._content[start : self._place]
