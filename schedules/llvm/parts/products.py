"""Products of bytes: what adds four products to each sum, on each instruction set; all sums are exact.

1. VNNI and Arm's dot product have one instruction for it.
2. Else two products are added in 16 bits (``vpmaddubsw``), then their sums in 32 (``vpmaddwd``). Two products of
   weights and bytes may leave 16 bits, where the instruction saturates: so this is for weights of which no neighbours
   do (`fit`), as quantisers make them for such processors, with seven bits.
3. Else both are widened to 16 bits, first the even bytes, then the odd ones, and ``vpmaddwd`` takes two at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.pairs import PAIR, SHORT, multiply_add_pairs
from tvmopt.schedules.llvm.parts.quads import QUAD, SUMS, adds_quads, moved_data
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

PAIRS_FIT = "pairs_fit"
"""The attribute of a workload of integers of which neighbouring weights `fit`; absent where they do not."""

LARGEST_PAIR = 32767 // 255
"""The largest sum of two weights of one sign whose products with bytes fit 16 bits."""

SMALL = LARGEST_PAIR // 4
"""Four products of such weights and bytes, and fewer, fit 16 bits."""

_QUADS = {16: "llvm.x86.avx512.vpdpbusd.512", 8: "llvm.x86.avx512.vpdpbusd.256"}
"""LLVM's name of the instruction that adds four products of bytes to each sum, by the number of sums."""

_DOT_PRODUCT, _MIXED = "llvm.aarch64.neon.sdot", "llvm.aarch64.neon.usdot"
"""Those of Arm's, of signed bytes, and of unsigned with signed ones."""

_SIGNS = -0x7F7F7F80
"""The signs of four bytes, as int32."""

_PAIRS_OF_BYTES = {16: "llvm.x86.avx512.pmaddubs.w.512", 8: "llvm.x86.avx2.pmadd.ub.sw"}
"""That of the one that adds two products of bytes in 16 bits, saturating."""

ADDED_IN_16_BITS, WIDENED = 2.0, 4.0
"""What four products take, in multiply-adds of float32; measured."""

_BYTE = 8


def fit(weights: npt.NDArray[Any]) -> bool:
    """Whether the products of two neighbouring channels with any bytes fit 16 bits together.

    Args:
        weights: int8, output channels × input channels × any.
    """
    wide = np.pad(weights.astype(np.int16), ((0, 0), (0, weights.shape[1] % 2), *[(0, 0)] * (weights.ndim - 2)))
    first, second = wide[:, 0::2], wide[:, 1::2]
    most = np.maximum(first, 0) + np.maximum(second, 0)
    least = np.minimum(first, 0) + np.minimum(second, 0)
    return bool(most.max(initial=0) <= LARGEST_PAIR and least.min(initial=0) >= -LARGEST_PAIR)


def pairs_fit(workload: Workload) -> bool:
    """Whether the graph found that neighbouring weights `fit`."""
    return any(name == PAIRS_FIT for name, _ in workload.attrs)


def multiply_add(sums: emit.Expr, data: emit.Expr, weights: emit.Expr, target: Target, *, fits: bool) -> emit.Expr:
    """Sums of int32, a vector of the target, each with four products more.

    Args:
        sums: as many as fit a vector.
        data: four bytes, unsigned, for each sum, as int32; `moved_data` is subtracted from each.
        weights: four bytes, signed, for each sum, as int32.
        target: decides by which instructions.
        fits: whether neighbouring weights `fit`.
    """
    lanes = target.lanes(SUMS)
    if target.isa == "neon":
        return _dot_product(sums, data, weights, target)
    if adds_quads(target):
        return tirx.call_llvm_pure_intrin(f"{SUMS}x{lanes}", _QUADS[lanes], sums, *_bytes(data, weights, lanes))
    if fits:
        return add_pairs(sums, pairs_of_bytes(data, weights, target), target)
    pixels = tirx.reinterpret(f"uint16x{PAIR * lanes}", data)
    words = tirx.reinterpret(f"{SHORT}x{PAIR * lanes}", weights)

    def number(value: int, dtype: str) -> emit.Expr:
        return emit.splat(emit.const(value, dtype), PAIR * lanes)

    shift = number(_BYTE, SHORT)
    sums = multiply_add_pairs(sums, pixels & number(255, "uint16"), (words << shift) >> shift, target)
    return multiply_add_pairs(sums, pixels >> number(_BYTE, "uint16"), words >> shift, target)


def cost_of_quad(target: Target, *, fits: bool) -> float:
    """What `multiply_add` takes, against a multiply-add of float32 or by one instruction."""
    if adds_quads(target):
        return 1.0
    return ADDED_IN_16_BITS if fits else WIDENED


def pairs_of_bytes(data: emit.Expr, weights: emit.Expr, target: Target) -> emit.Expr:
    """The sums of two products of bytes each, in 16 bits, which hold those of weights that `fit`; without VNNI."""
    lanes = target.lanes(SUMS)
    name = _PAIRS_OF_BYTES[lanes]
    return tirx.call_llvm_pure_intrin(f"{SHORT}x{PAIR * lanes}", name, *_bytes(data, weights, lanes))


def add_pairs(sums: emit.Expr, pairs: emit.Expr, target: Target) -> emit.Expr:
    """Sums of int32, each with two numbers of 16 bits more."""
    return multiply_add_pairs(sums, pairs, emit.splat(emit.const(1, SHORT), PAIR * target.lanes(SUMS)), target)


def _dot_product(sums: emit.Expr, data: emit.Expr, weights: emit.Expr, target: Target) -> emit.Expr:
    lanes = target.lanes(SUMS)
    if not moved_data(target):
        return tirx.call_llvm_pure_intrin(f"{SUMS}x{lanes}", _MIXED, sums, *_bytes(data, weights, lanes))
    signed = data ^ emit.splat(emit.const(_SIGNS, SUMS), lanes)
    factors = [tirx.reinterpret(f"int8x{QUAD * lanes}", factor) for factor in (signed, weights)]
    return tirx.call_llvm_pure_intrin(f"{SUMS}x{lanes}", _DOT_PRODUCT, sums, *factors)


def _bytes(data: emit.Expr, weights: emit.Expr, lanes: int) -> tuple[emit.Expr, emit.Expr]:
    return tirx.reinterpret(f"uint8x{QUAD * lanes}", data), tirx.reinterpret(f"int8x{QUAD * lanes}", weights)
