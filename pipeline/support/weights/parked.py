"""Weights parked in files: tensors of an ONNX model whose elements are on disk while the model is worked on.

ONNX Runtime maps such files into memory, so that a model that is run in several forms has its weights in memory once,
and on disk once. A parked tensor names its file by its absolute path; no model from outside has any, since reading one
takes all tensors in.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]

PIECE = 1 << 20
"""Bytes read at once."""
LINE = 64
"""The elements of every tensor begin at a multiple of it."""
_ENDING = ".parked"


_MAPS: WeakValueDictionary[tuple[int, int, int], mmap.mmap] = WeakValueDictionary()
"""Files that are mapped, by device, number and size."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the elements of a tensor are.

    Attributes:
        file: the file.
        offset: where the first begins, in bytes.
        nbytes: how many bytes they take.
    """

    file: Path
    offset: int
    nbytes: int

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces."""
        with self.file.open("rb") as file:
            file.seek(self.offset)
            left = self.nbytes
            while left:
                piece = file.read(min(left, PIECE))
                if not piece:
                    raise OSError(f"{self.file} was cut short")
                left -= len(piece)
                yield piece


def place_of(tensor: onnx.TensorProto) -> Place | None:
    """Where the elements of a parked tensor are; None where the message has them."""
    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    known = {entry.key: entry.value for entry in tensor.external_data}
    return Place(Path(known["location"]), int(known["offset"]), int(known["length"]))


def refer(tensor: onnx.TensorProto, location: str, offset: int, nbytes: int) -> onnx.TensorProto:
    """`tensor` with its elements in a file."""
    light = onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, name=tensor.name)
    light.metadata_props.extend(tensor.metadata_props)
    if tensor.HasField("doc_string"):
        light.doc_string = tensor.doc_string
    light.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", nbytes)):
        light.external_data.add(key=key, value=str(value))
    return light


def array_of(tensor: onnx.TensorProto) -> Array:
    """The elements of `tensor`; those of a parked one are mapped from its file, and cannot be written."""
    place = place_of(tensor)
    if place is None:
        return np.asarray(numpy_helper.to_array(tensor))
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if place.nbytes != math.prod(tensor.dims) * dtype.itemsize:  # elements of less than a byte
        whole = onnx.TensorProto(dims=tensor.dims, data_type=tensor.data_type, raw_data=b"".join(place.pieces()))
        return np.asarray(numpy_helper.to_array(whole))
    flat = np.frombuffer(_mapped(place.file), np.uint8, place.nbytes, place.offset)
    return flat.view(dtype).reshape(tuple(tensor.dims))


def _mapped(path: Path) -> mmap.mmap:
    """The contents of a file; mapped once as long as an array lies in it, since each map keeps a descriptor."""
    with path.open("rb") as file:
        facts = os.fstat(file.fileno())
        key = (facts.st_dev, facts.st_ino, facts.st_size)
        content = _MAPS.get(key)
        if content is None:
            content = _MAPS[key] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return content


def folder_of(model: onnx.ModelProto) -> Path | None:
    """The folder with the parked weights of `model`; None if it has none."""
    places = map(place_of, model.graph.initializer)
    return next((place.file.parent for place in places if place is not None), None)


def new_file(folder: Path) -> Path:
    """An empty file for parked weights in `folder`, of a name that is nowhere else."""
    handle, name = tempfile.mkstemp(_ENDING, "tvmopt-", folder)
    os.close(handle)
    return Path(name)


def lend(file: Path, folder: Path) -> str:
    """Lets the parked `file` appear in `folder`, beside a model that refers to it, and returns its name there."""
    there = folder / file.name
    if not there.exists():
        try:
            there.hardlink_to(file)
        except OSError:  # another file system, or one without links
            whole = there.with_suffix(".copied")
            shutil.copyfile(file, whole)
            whole.replace(there)
    return file.name


def take_in(model: onnx.ModelProto, folder: Path, park: Path) -> None:
    """Turns references of `model` to files beside it in `folder` into parked weights in `park`, in place.

    Args:
        model: as a runtime wrote it; files that were lent come back to where they are.
        folder: where it was written.
        park: the folder with parked weights; other files that `model` refers to move there.
    """
    moved: dict[str, Path] = {}
    for tensor in model.graph.initializer:
        for entry in tensor.external_data if tensor.data_location == onnx.TensorProto.EXTERNAL else ():
            if entry.key != "location":
                continue
            if entry.value not in moved:
                own = park / entry.value
                if not (entry.value.endswith(_ENDING) and own.exists()):
                    own = new_file(park)
                    shutil.move(folder / entry.value, own)
                moved[entry.value] = own
            entry.value = str(moved[entry.value])
