"""Four bytes as one element: what instructions multiply at once that add four products to each sum."""

from __future__ import annotations

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.target import Target

tirx = lazily("tvm.tirx")

QUAD = 4
"""Bytes that are multiplied at once."""

SUMS = "int32"
"""The type of the sums of products, which is also that of four bytes as one element."""

FEATURES = {"avx512": {"avx512_vnni", "avx512vnni"}, "avx2": {"avx_vnni", "avxvnni"}}
"""The features of each instruction set that multiply four bytes and add the products, without saturation; by the names
of Linux, and of LLVM, which a target in JSON has."""

_INSTRUCTIONS = {16: "llvm.x86.avx512.vpdpbusd.512", 8: "llvm.x86.avx512.vpdpbusd.256"}
"""LLVM's name of the instruction, by the number of sums."""


def multiplies_bytes(target: Target) -> bool:
    """Whether there are kernels of integers for a target."""
    return not FEATURES.get(target.isa, set()).isdisjoint(target.features)


def multiply_add(sums: emit.Expr, data: emit.Expr, weights: emit.Expr, lanes: int) -> emit.Expr:
    """Sums of int32, each with four products more.

    Args:
        sums: `lanes` of them.
        data: four bytes, unsigned, for each sum, as int32.
        weights: four bytes, signed, for each sum, as int32.
        lanes: how many sums.
    """
    operands = (tirx.reinterpret(f"uint8x{QUAD * lanes}", data), tirx.reinterpret(f"int8x{QUAD * lanes}", weights))
    return tirx.call_llvm_pure_intrin(f"{SUMS}x{lanes}", _INSTRUCTIONS[lanes], sums, *operands)
