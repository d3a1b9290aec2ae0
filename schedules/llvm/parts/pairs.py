"""Two integers of 16 bits as one element: what instructions multiply at once that add two products to each sum."""

from __future__ import annotations

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.quads import FEATURES, SUMS
from tvmopt.schedules.target import Target

tirx = lazily("tvm.tirx")

PAIR = 2
"""Integers that are multiplied at once."""

SHORT = "int16"
"""Their type."""

_ADDING = {16: "llvm.x86.avx512.vpdpwssd.512", 8: "llvm.x86.avx512.vpdpwssd.256"}
"""LLVM's name of the instruction that multiplies and adds to sums, by their number."""

_PRODUCTS = {16: "llvm.x86.avx512.pmaddw.d.512", 8: "llvm.x86.avx2.pmadd.wd"}
"""LLVM's name of the instruction that adds the two products of each pair, by the number of sums."""

_SUM = "llvm.vector.partial.reduce.add"
"""LLVM's sum of two vectors that may wrap: it may assume of TVM's that they do not."""


def multiplies_pairs(target: Target) -> bool:
    """Whether there are kernels of 16 bits for a target."""
    return target.isa in ("avx512", "avx2")


def multiply_add_pairs(sums: emit.Expr, data: emit.Expr, weights: emit.Expr, target: Target) -> emit.Expr:
    """Sums of int32, a vector of the target, each with two products more; they may wrap.

    Args:
        sums: as many as fit a vector.
        data: two integers for each sum, as int32.
        weights: likewise.
        target: decides by which instructions.
    """
    lanes = target.lanes(SUMS)
    operands = [tirx.reinterpret(f"{SHORT}x{PAIR * lanes}", pair) for pair in (data, weights)]
    if not FEATURES.get(target.isa, set()).isdisjoint(target.features):
        return tirx.call_llvm_pure_intrin(f"{SUMS}x{lanes}", _ADDING[lanes], sums, *operands)
    products = tirx.call_llvm_pure_intrin(f"{SUMS}x{lanes}", _PRODUCTS[lanes], *operands)
    return tirx.call_llvm_pure_intrin(f"{SUMS}x{lanes}", _SUM, sums, products)
