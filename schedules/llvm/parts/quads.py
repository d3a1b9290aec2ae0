"""Four bytes as one element, which kernels of integers multiply at once (`products`), and on which machines they do."""

from __future__ import annotations

from tvmopt.schedules.target import Target

QUAD = 4
"""Bytes that are multiplied at once."""

SUMS = "int32"
"""The type of the sums of products, which is also that of four bytes as one element."""

FEATURES = {"avx512": {"avx512_vnni", "avx512vnni"}, "avx2": {"avx_vnni", "avxvnni"}}
"""The features of each instruction set that multiply four bytes and add the products, without saturation; by the names
of Linux, and of LLVM, which a target in JSON has."""


def multiplies_bytes(target: Target) -> bool:
    """Whether there are kernels of integers for a target."""
    return target.isa in FEATURES


def adds_quads(target: Target) -> bool:
    """Whether one instruction adds four products of bytes to a sum."""
    return not FEATURES.get(target.isa, set()).isdisjoint(target.features)
