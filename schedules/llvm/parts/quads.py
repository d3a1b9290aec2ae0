"""Four bytes as one element, which kernels of integers multiply at once (`products`), and on which machines they do.

Arm's dot product multiplies signed bytes: data is moved by 128 in registers there, and sums begin where that leads.
"""

from __future__ import annotations

from tvmopt.schedules.target import Target

QUAD = 4
"""Bytes that are multiplied at once."""

SUMS = "int32"
"""The type of the sums of products, which is also that of four bytes as one element."""

FEATURES = {
    "avx512": {"avx512_vnni", "avx512vnni"},
    "avx2": {"avx_vnni", "avxvnni"},
    "neon": {"dotprod", "i8mm"},
}
"""The features of each instruction set that multiply four bytes and add the products, without saturation; by the names
of Linux, and of LLVM, which a target in JSON has."""


MIXED_SIGNS = "i8mm"
"""The feature of Arm by which unsigned bytes are multiplied with signed ones."""


def multiplies_bytes(target: Target) -> bool:
    """Whether there are kernels of integers for a target."""
    return target.isa in ("avx512", "avx2") or adds_quads(target)


def adds_quads(target: Target) -> bool:
    """Whether one instruction adds four products of bytes to a sum."""
    return not FEATURES.get(target.isa, set()).isdisjoint(target.features)


def moved_data(target: Target) -> int:
    """By how much data is moved before it is multiplied: 128 where bytes of both factors are signed."""
    return 128 if target.isa == "neon" and MIXED_SIGNS not in target.features else 0


def multiplies_rows(target: Target) -> bool:
    """Whether there are kernels of integers for two matrices that are both computed: their data is not moved."""
    return multiplies_bytes(target) and not moved_data(target)
