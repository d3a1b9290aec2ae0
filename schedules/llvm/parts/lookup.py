"""Tables of 256 bytes: any function of one quantised value, exact.

With AVX-512 VBMI, an instruction looks up 64 bytes in 128 entries at once. Elsewhere on x86-64, whole vectors are
looked up in sixteen tables of sixteen entries. All else is looked up byte by byte.
"""

from __future__ import annotations

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Expr, View
from tvmopt.schedules.target import Target

tirx = lazily("tvm.tirx")

ENTRIES = 256
WIDE = 64
"""Bytes that AVX-512 looks up at once."""
SHORT = 16
"""Entries of the tables of an instruction that every x86-64 processor with AVX2 has."""

_SHUFFLES = {32: "llvm.x86.avx2.pshuf.b", 64: "llvm.x86.avx512.pshuf.b.512"}
"""LLVM's name of that instruction, by the bytes that it looks up."""


class Lookup:
    """A kernel's operand that is a table.

    Args:
        view: its memory.
        target: decides which instructions there are; None: none.
    """

    def __init__(self, view: View, target: Target | None) -> None:
        self.view, self.target = view, target

    def of(self, places: Expr, lanes: int) -> Expr:
        """The entries at `places`, `lanes` of uint8."""
        if self.target is not None and permutes(self.target) and lanes > 1:
            return self._permuted(places, lanes)
        if self.target is not None and lanes in _SHUFFLES and lanes == whole_vector(self.target):
            return self._shuffled(places, lanes)
        index = tirx.Cast("int32" if lanes == 1 else f"int32x{lanes}", places)
        return tirx.BufferLoad(self.view.row, [index])

    def _permuted(self, places: Expr, lanes: int) -> Expr:
        """By the lower seven bits in each half of the table; the highest bit chooses between the two."""
        if lanes < WIDE:
            zeros = emit.splat(emit.const(0, "uint8"), lanes)
            places = emit.joined([places, *[zeros] * (WIDE // lanes - 1)], lanes)
        name, kind = tirx.Var("places", f"uint8x{WIDE}"), f"uint8x{WIDE}"
        parts = [tirx.BufferLoad(self.view.row, [tirx.Ramp(first, 1, WIDE)]) for first in range(0, ENTRIES, WIDE)]
        low, high = (
            tirx.call_llvm_pure_intrin(kind, "llvm.x86.avx512.vpermi2var.qi.512", parts[i], name, parts[i + 1])
            for i in (0, 2)
        )
        found = tirx.Select(name >= emit.splat(emit.const(ENTRIES // 2, "uint8"), WIDE), high, low)
        return tirx.Let(name, places, found if lanes == WIDE else emit.part(found, 0, lanes))

    def _shuffled(self, places: Expr, lanes: int) -> Expr:
        """In one table after another: a place outside of a table has its highest bit set, for which zero is found."""
        name, kind = tirx.Var("places", f"uint8x{lanes}"), f"uint8x{lanes}"
        outside = emit.splat(emit.const(128 - SHORT, "uint8"), lanes)
        found = []
        for first in range(0, ENTRIES, SHORT):
            entries = tirx.BufferLoad(self.view.row, [tirx.Ramp(first, 1, SHORT)])
            # Below sixteen for the places of this table only; the sum saturates.
            moved = name ^ emit.splat(emit.const(first, "uint8"), lanes)
            index = tirx.call_llvm_pure_intrin(kind, "llvm.uadd.sat", moved, outside)
            table = emit.joined([entries] * (lanes // SHORT), SHORT)
            found.append(tirx.call_llvm_pure_intrin(kind, _SHUFFLES[lanes], table, index))
        while len(found) > 1:
            found = [one | two for one, two in zip(found[::2], found[1::2], strict=True)]
        return tirx.Let(name, places, found[0])


def permutes(target: Target) -> bool:
    """Whether an instruction looks up bytes in tables of 128 entries."""
    return target.isa == "avx512" and "avx512vbmi" in target.features


def whole_vector(target: Target) -> int:
    """How many bytes a kernel looks up at once."""
    lanes = target.lanes("uint8")
    return lanes if lanes in _SHUFFLES and target.arch == "x86_64" else 1
