"""Reads a `.caffemodel`: finds each layer's blobs in it, and reads one when it is asked for.

Only the messages around the elements are parsed; the elements stay in the file until then, so that a network of half a
gigabyte never is in memory twice.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.base import Stored, StoredTensor
from tvmopt.pipeline.importers.caffe.pair import Pair
from tvmopt.pipeline.importers.caffe.schema import message_type
from tvmopt.pipeline.importers.onnx.wire_format import Span, fields, rest

Array = npt.NDArray[np.float32]

_LAYERS = (("LayerParameter", 100, 7), ("V1LayerParameter", 2, 6))
"""Per kind of layer: its message, its number in the network, and the number of its blobs."""
_DATA, _DOUBLE_DATA = 5, 8
"""Numbers of these fields in a blob."""
_MOST_HEADER_BYTES = 1 << 22
"""Of a layer without its blobs, and of a blob without its elements."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A tensor of weights in the file.

    Attributes:
        file: the `.caffemodel`.
        shape: as the file says.
        spans: where its elements are, in bytes.
        dtype: of the elements there.
    """

    file: Path
    shape: tuple[int, ...]
    spans: tuple[Span, ...]
    dtype: str

    def read(self) -> Array:
        """The elements, in the shape that the file says."""
        parts = []
        with self.file.open("rb") as file:
            for start, end in self.spans:
                file.seek(start)
                parts.append(file.read(end - start))
        content = parts[0] if len(parts) == 1 else b"".join(parts)
        return np.frombuffer(content, self.dtype).reshape(self.shape).astype(np.float32, copy=False)


def read_blobs(path: Path) -> Mapping[str, tuple[Blob, ...]]:
    """The blobs of each layer of the file at `path`, by the layer's name.

    Raises:
        InputFileError: it is no `.caffemodel`, cut short, or its blobs do not have the shapes that it says.
    """
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise InputFileError(f"{path.name!r} is empty (0 bytes): the weights of a Caffe network were expected")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = dict(_layers(path, content))
    except OSError as error:
        raise InputFileError(f"{path.name!r} cannot be read: {error.strerror}") from error
    except (DecodeError, ValueError) as error:
        raise InputFileError(
            f"{path.name!r} ({path.stat().st_size} bytes) holds no weights of a Caffe network, or is cut short: {error}"
        ) from error
    if not found:
        raise InputFileError(f"{path.name!r} holds no layers with weights: a trained .caffemodel was expected")
    return found


def stored_blobs(pair: Pair) -> Stored:
    """The files of a network, and where its weights are in them; raises as `read_blobs`."""
    spans = [
        blob.spans[0]
        for blobs in read_blobs(pair.weights).values()
        for blob in blobs
        if len(blob.spans) == 1 and blob.dtype == "<f4"
    ]
    return Stored(tuple(pair), tuple(StoredTensor(1, start, end - start) for start, end in spans))


def _layers(path: Path, content: mmap.mmap) -> Iterator[tuple[str, tuple[Blob, ...]]]:
    whole = (0, len(content))
    for kind, number, blobs_number in _LAYERS:
        for layer in fields(content, whole, number):
            name = _parsed(kind, content, layer.content, blobs_number).name
            if not isinstance(name, str):  # protobuf gives bytes for what is not UTF-8
                raise ValueError("the name of a layer is not text")
            blobs = [_blob(path, content, field.content) for field in fields(content, layer.content, blobs_number)]
            if blobs:
                yield name, tuple(blobs)


def _parsed(kind: str, content: mmap.mmap, span: Span, without: int) -> Any:
    """The message in `span` without one of its fields."""
    nbytes = sum(field.whole[1] - field.whole[0] for field in fields(content, span) if field.number != without)
    if nbytes > _MOST_HEADER_BYTES:
        raise ValueError(f"a {kind} of {nbytes} bytes besides its weights")
    return message_type(kind).FromString(rest(content, span, without))


def _blob(path: Path, content: mmap.mmap, span: Span) -> Blob:
    """The blob in `span`; its elements may be in several runs, or each on its own."""
    doubles = next((True for _ in fields(content, span, _DOUBLE_DATA)), False)
    number, width = (_DOUBLE_DATA, 8) if doubles else (_DATA, 4)
    spans: list[Span] = []
    nbytes = 0
    shape: tuple[int, ...] = ()
    legacy = [0, 0, 0, 0]
    for field in fields(content, span):
        start, end = field.content
        if field.number == number:
            spans.append(field.content)
            nbytes += end - start
        elif field.number == 7 and end - start <= _MOST_HEADER_BYTES:
            shape = tuple(message_type("BlobShape").FromString(content[start:end]).dim)
        elif 1 <= field.number <= 4:
            one = message_type("BlobProto").FromString(content[slice(*field.whole)])
            legacy[field.number - 1] = (one.num, one.channels, one.height, one.width)[field.number - 1]
    shape = shape or (tuple(legacy) if any(legacy) else ())
    shape = shape or ((nbytes // width,) if nbytes else ())
    if any(size < 0 for size in shape) or math.prod(shape) * width != nbytes:
        raise ValueError(f"a blob of shape {list(shape)[:8]} has {nbytes} bytes of elements")
    return Blob(path, shape, tuple(spans), f"<f{width}")
