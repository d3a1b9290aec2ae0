"""Vectors of floats rounded to bytes, four at once: packing saturates, and one store takes all."""

from __future__ import annotations

from collections.abc import Sequence

from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit

tirx = lazily("tvm.tirx")

TOGETHER = 4
"""Vectors of floats whose bytes fill a vector."""

MOST = 32767.0
"""More than any byte, less than where rounding to int32 fails."""

_TO_SHORTS = {16: "llvm.x86.avx512.packssdw.512", 8: "llvm.x86.avx2.packssdw"}
_TO_BYTES = {16: "llvm.x86.avx512.packuswb.512", 8: "llvm.x86.avx2.packuswb"}
"""LLVM's names of what narrows two vectors to one, each 128 bits for themselves, by the floats of a vector."""

VECTORS = frozenset(_TO_BYTES)
"""The lengths of vectors of floats for which there are instructions."""


def rounded_bytes(vectors: Sequence[emit.Expr], zero: int, lanes: int) -> emit.Expr:
    """Floats rounded half to even, plus `zero`, saturating; NaN becomes the least.

    Args:
        vectors: `TOGETHER` of them.
        zero: the zero point.
        lanes: floats of a vector.

    Returns:
        The bytes of all vectors, one after another.
    """
    # What is too small for int32, and NaN, becomes its least.
    whole = [_rounded(tirx.min(emit.splat(emit.const(MOST), lanes), vector), lanes) for vector in vectors]
    shorts = [_packed(_TO_SHORTS[lanes], "int16", whole[i], whole[i + 1], 2 * lanes) for i in (0, 2)]
    if zero:
        offset = emit.splat(emit.const(zero, "int16"), 2 * lanes)
        shorts = [tirx.call_llvm_pure_intrin(f"int16x{2 * lanes}", "llvm.sadd.sat", x, offset) for x in shorts]
    packed = _packed(_TO_BYTES[lanes], "uint8", shorts[0], shorts[1], 4 * lanes)
    # 128 bits hold four elements of each vector.
    elements = tirx.reinterpret(f"int32x{lanes}", packed)
    parts = lanes // TOGETHER
    order = [TOGETHER * part + vector for vector in range(TOGETHER) for part in range(parts)]
    return tirx.reinterpret(f"uint8x{4 * lanes}", emit.shuffled([elements], order))


def _rounded(vector: emit.Expr, lanes: int) -> emit.Expr:
    dtype = f"int32x{lanes}"
    if lanes == 8:
        return tirx.call_llvm_pure_intrin(dtype, "llvm.x86.avx.cvt.ps2dq.256", vector)
    none, all_lanes = emit.splat(emit.const(0, "int32"), lanes), emit.const(-1, "int16")
    as_the_processor_is_set = emit.const(4, "int32")
    return tirx.call_llvm_pure_intrin(
        dtype, "llvm.x86.avx512.mask.cvtps2dq.512", vector, none, all_lanes, as_the_processor_is_set
    )


def _packed(name: str, dtype: str, first: emit.Expr, second: emit.Expr, lanes: int) -> emit.Expr:
    return tirx.call_llvm_pure_intrin(f"{dtype}x{lanes}", name, first, second)
