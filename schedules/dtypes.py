"""Element types: their width, and the type in which their products are accumulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FLOAT32 = "float32"

Kind = Literal["float", "int", "uint", "bool"]


@dataclass(frozen=True, slots=True)
class DType:
    """An element type.

    Attributes:
        name: as numpy spells it.
        kind: the kind of its values.
        nbytes: bytes of an element.
        accumulator: the type that accumulates products of its elements.
    """

    name: str
    kind: Kind
    nbytes: int
    accumulator: str


DTYPES: Mapping[str, DType] = {
    dtype.name: dtype
    for dtype in (
        DType(FLOAT32, "float", 4, FLOAT32),
        DType("float16", "float", 2, FLOAT32),
        DType("bfloat16", "float", 2, FLOAT32),
        DType("float64", "float", 8, "float64"),
        DType("int8", "int", 1, "int32"),
        DType("uint8", "uint", 1, "int32"),
        DType("int16", "int", 2, "int32"),
        DType("uint16", "uint", 2, "int32"),
        DType("int32", "int", 4, "int32"),
        DType("uint32", "uint", 4, "uint32"),
        DType("int64", "int", 8, "int64"),
        DType("uint64", "uint", 8, "uint64"),
        DType("bool", "bool", 1, "int32"),
    )
}
"""All element types of models' tensors, by name."""


def dtype_of(name: str) -> DType:
    """The facts of the element type `name`.

    Raises:
        ValueError: when there is none of that name.
    """
    if name not in DTYPES:
        raise ValueError(f"unknown element type {name!r}; expected one of {', '.join(DTYPES)}")
    return DTYPES[name]
