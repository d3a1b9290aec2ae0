"""Where an exported program's file holds its tensors: an archive's parts that are not compressed are plain bytes."""

from __future__ import annotations

import struct
import zipfile
from importlib.metadata import version
from typing import IO

from tvmopt.pipeline.importers.base import Stored, StoredTensor
from tvmopt.pipeline.importers.pytorch.export import require_torch
from tvmopt.pipeline.importers.pytorch.pt2_archive import check_archive
from tvmopt.pipeline.types import ModelSource

_PACKAGES = ("torch", "onnxscript")
"""What translates programs to ONNX."""

_HEADER = struct.Struct("<26xHH")
"""What stands before a part of an archive, up to the lengths of its name and of the extra field behind that."""


def stored_tensors(source: ModelSource) -> Stored:
    """The file of a program, and its parts that are not compressed: weights among them.

    Raises:
        InputFileError, UnsupportedModelError: as `check_archive`.
        RuntimeMissingError: PyTorch is not installed.
        OSError: the file cannot be read.
        ValueError: it is damaged.
    """
    require_torch()
    check_archive(source.path)
    try:
        with zipfile.ZipFile(source.path) as archive, source.path.open("rb") as file:
            plain = [one for one in archive.infolist() if one.compress_type == zipfile.ZIP_STORED and one.file_size]
            tensors = tuple(StoredTensor(0, _begin(file, one), one.file_size) for one in plain)
    except (zipfile.BadZipFile, struct.error) as error:
        raise ValueError(str(error)) from error
    return Stored((source.path,), tensors, tuple(f"{name} {version(name)}" for name in _PACKAGES))


def _begin(file: IO[bytes], part: zipfile.ZipInfo) -> int:
    """The place of a part's first byte; the directory of an archive tells only where its header is."""
    file.seek(part.header_offset)
    name, extra = _HEADER.unpack(file.read(_HEADER.size))
    return part.header_offset + _HEADER.size + int(name) + int(extra)
