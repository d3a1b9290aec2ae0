"""Looks at a model file before a framework reads it: what it is, and whether its beginning and sizes are plausible."""

from __future__ import annotations

import mmap
import zipfile
from pathlib import Path

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.onnx_form.tensors import MAX_BYTES

SAVED_MODEL = "saved_model.pb"
_VERSIONS = 4
"""The number of a graph's field that stands behind its nodes."""
_H5 = b"\x89HDF\r\n\x1a\n"
_TFLITE = b"TFL3"
_PARTS = ("config.json", "metadata.json", "model.weights.h5")
_CONFIG_BYTES = 1 << 27
_PACKED = 200
"""No weights pack better: more times the file's size is an archive made to fill memory."""
_LEAST_BYTES = 1 << 24


def form_of(path: Path) -> str:
    """The form of the model at `path`, as `scripts/tensorflow_to_onnx.py` calls it.

    Raises:
        InputFileError: it is of another kind than its name says, or claims impossible sizes.
    """
    try:
        return _form(path)
    except OSError as error:
        raise InputFileError(f"the file cannot be read: {error.strerror}") from error


def _form(path: Path) -> str:
    name = path.name.lower()
    size = path.stat().st_size
    if not size:
        raise InputFileError("the file is empty")
    if size > MAX_BYTES:
        raise InputFileError(f"the file has {size} bytes, more than the {MAX_BYTES} that ONNX can hold")
    with path.open("rb") as file:
        start = file.read(len(_H5))
    if name.endswith(".tflite"):
        if start[4:8] != _TFLITE:
            raise InputFileError("not a TFLite file: it lacks the mark TFL3")
        return "tflite"
    if name.endswith(".keras"):
        _check_archive(path, size)
        return "keras"
    if name.endswith((".h5", ".hdf5")):
        if start != _H5:
            raise InputFileError("not an HDF5 file, as Keras writes its .h5: it begins with something else")
        return "keras"
    _check_message(path)
    return "saved_model" if path.name == SAVED_MODEL else "graph"


def _check_archive(path: Path, size: int) -> None:
    """Checks the parts of a ``.keras`` file, and what they claim to unpack to."""
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise InputFileError(f"not a .keras archive, or damaged: {error}") from error
    names = [part.filename for part in parts]
    missing = [name for name in _PARTS if name not in names]
    if missing:
        raise InputFileError(f"the archive lacks {', '.join(missing)}: it was not written by Keras 3")
    if len(set(names)) < len(names):
        raise InputFileError("the archive has two parts with the same name: which of them would be read is undefined")
    config = sum(part.file_size for part in parts if part.filename.endswith(".json"))
    unpacked = sum(part.file_size for part in parts)
    most = min(MAX_BYTES, max(_PACKED * size, _LEAST_BYTES))
    if unpacked > most or config > _CONFIG_BYTES:
        raise InputFileError(f"the archive of {size} bytes unpacks to {unpacked} bytes: at most {most} are read")


def _check_message(path: Path) -> None:
    """Checks that a ``.pb`` file is a message of protobuf from its first byte to its last."""
    from tvmopt.pipeline.importers.onnx.wire_format import fields

    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            numbers = {field.number for field in fields(content, (0, len(content)))}
    except ValueError as error:
        raise InputFileError(f"not a TensorFlow graph in protobuf's format, or damaged: {error}") from error
    if not numbers <= set(range(1, 6)):
        raise InputFileError(f"not a TensorFlow graph: it has the fields {sorted(numbers)[:9]}")
    if path.name != SAVED_MODEL and _VERSIONS not in numbers:
        raise InputFileError("the graph is cut short: it lacks its versions, which TensorFlow writes behind the nodes")
