"""Where an ONNX file stores its weights: read from protobuf's wire format, without reading the weights.

Protobuf's documentation describes it under "Encoding"; `onnx.proto` numbers the fields.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf comes without types

from tvmopt.pipeline.importers.base import Stored, StoredTensor
from tvmopt.pipeline.importers.onnx_form.tensors import all_tensors, data_extent, data_file

_GRAPH, _INITIALIZERS, _RAW_DATA = 7, 5, 9
"""Numbers of these fields in a model, a graph and a tensor."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""How a field is stored."""

Span = tuple[int, int]
"""Where something begins, and where it ends."""


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a message: its number, where it is, and where its content is."""

    number: int
    whole: Span
    content: Span


def stored_tensors(path: Path) -> Stored:
    """The model file at `path` with its files of external data, and where the initialisers of its graph are in them.

    Raises:
        OSError: a file cannot be read.
        ValueError: the file is no ONNX model.
        InputFileError: external data is not where a model may have it.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        raw: list[Span] = []
        try:
            model = _light(content, raw)
        except DecodeError as error:
            raise ValueError("not an ONNX model") from error
    files = [path]
    tensors = [StoredTensor(0, start, end - start) for start, end in raw]
    for tensor in all_tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}
            other = data_file(tensor.name, where.get("location", ""), path.parent)
            if other not in files:
                files.append(other)
            tensors.append(StoredTensor(files.index(other), *data_extent(tensor, where, other)))
    return Stored(tuple(files), tuple(tensors))


def _light(content: mmap.mmap, raw: list[Span]) -> onnx.ModelProto:
    """The model without the raw data of its initialisers; adds where that is to `raw`."""
    whole = (0, len(content))
    model: onnx.ModelProto = onnx.ModelProto.FromString(_rest(content, whole, _GRAPH))
    for graph in _fields(content, whole, _GRAPH):
        model.graph.MergeFromString(_rest(content, graph.content, _INITIALIZERS))
        for place in _fields(content, graph.content, _INITIALIZERS):
            model.graph.initializer.add().MergeFromString(_rest(content, place.content, _RAW_DATA))
            raw += [one.content for one in _fields(content, place.content, _RAW_DATA)]
    return model


def _rest(content: mmap.mmap, span: Span, number: int) -> bytes:
    """The message in `span` without its fields `number`."""
    return b"".join(content[slice(*field.whole)] for field in _fields(content, span) if field.number != number)


def _fields(content: mmap.mmap, span: Span, number: int | None = None) -> Iterator[_Field]:
    """The fields of the message in `span`, or those of one number.

    Raises:
        ValueError: it is no message.
    """
    place, end = span
    while place < end:
        first = place
        tag, place = _varint(content, place, end)
        kind, nbytes = tag & 7, 0
        if kind == _VARINT:
            _, place = _varint(content, place, end)
        elif kind == _BYTES:
            nbytes, place = _varint(content, place, end)
        elif kind in (_FIXED64, _FIXED32):
            nbytes = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind} at {place}")
        if place + nbytes > end:
            raise ValueError(f"a field of {nbytes} bytes at {place}, beyond its message")
        field = _Field(tag >> 3, (first, place + nbytes), (place, place + nbytes))
        place += nbytes
        if number in (None, field.number):
            yield field


def _varint(content: Any, place: int, end: int) -> tuple[int, int]:
    """The number at `place`, seven bits in a byte, and where it ends."""
    value = shift = 0
    while place < end and shift < 64:
        byte = content[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError(f"no number at {place}")
