"""Protobuf's wire format: where the fields of a message are, without reading what they hold.

Protobuf's documentation describes it under "Encoding".
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_VARINT, _FIXED64, BYTES, _FIXED32 = 0, 1, 2, 5
"""How a field is stored."""

Span = tuple[int, int]
"""Where something begins, and where it ends."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message: its number, where it is, and where its content is."""

    number: int
    whole: Span
    content: Span


def rest(content: mmap.mmap, span: Span, number: int) -> bytes:
    """The message in `span` without its fields `number`."""
    return b"".join(content[slice(*field.whole)] for field in fields(content, span) if field.number != number)


def fields(content: mmap.mmap, span: Span, number: int | None = None) -> Iterator[Field]:
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
        elif kind == BYTES:
            nbytes, place = _varint(content, place, end)
        elif kind in (_FIXED64, _FIXED32):
            nbytes = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind} at {place}")
        if place + nbytes > end:
            raise ValueError(f"a field of {nbytes} bytes at {place}, beyond its message")
        field = Field(tag >> 3, (first, place + nbytes), (place, place + nbytes))
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
