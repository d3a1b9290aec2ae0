"""Places that a kernel finds in its data, to be followed."""

from __future__ import annotations

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, Index
from tvmopt.schedules.llvm.parts.operands import Operand

PLACES = ("int32", "int64")
"""Types of places."""


def load_place(places: Operand, at: Index) -> Expr:
    """A place, as an index of 32 bits."""
    place = emit.load(places.view, [0, 0, 0, 0, at])
    return place if places.tensor.dtype == "int32" else place.astype("int32")
