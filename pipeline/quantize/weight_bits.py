"""How many bits the weights of convolutions and dense layers use, by the machine that is to run them."""

from __future__ import annotations

from collections.abc import Collection

from tvmopt.schedules.target import Target

FULL, NARROW = 8, 7
"""All values of a byte, or those from -64 to 64."""

BITS = (NARROW, FULL)

_SUMS_OF_FOUR = {"avx512_vnni", "avx512vnni", "avx_vnni", "avxvnni", "amx_int8", "amx-int8"}
"""Features of x86 with which four products of bytes are added in 32 bits; by the names of Linux, and of LLVM."""


def usual_weight_bits(target: Target) -> int:
    """`NARROW` on x86 processors that add pairs of products of bytes in 16 bits; `FULL` on all others.

    There, sums of products with narrow weights always fit. With full ones other runtimes saturate, and our kernels,
    which do not, take more instructions.
    """
    return FULL if adds_four(target.arch, target.features) else NARROW


def adds_four(architecture: str, features: Collection[str]) -> bool:
    """Whether a processor's products of bytes are added in 32 bits, so that no weights make them saturate."""
    return architecture != "x86_64" or not _SUMS_OF_FOUR.isdisjoint(features)
