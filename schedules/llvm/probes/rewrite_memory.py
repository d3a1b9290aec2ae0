"""A kernel that rewrites memory with its own contents: afterwards each thread's core caches the part it wrote."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import LINE
from tvmopt.schedules.target import Target


def rewrite_kernel(size: int, target: Target) -> Any:
    """The PrimFunc: adds its second parameter, one float, to the `size` floats of the first.

    Each thread gets an equal share of consecutive whole lines. The one float must be zero; it is a parameter
    because the compiler would drop the writes if it knew that.
    """
    from tvm import tirx

    memory, zero = tirx.decl_buffer((size,), "float32", name="memory"), tirx.decl_buffer((1,), "float32", name="zero")
    lines, rest = divmod(size, LINE)

    def add(place: emit.Index, lanes: int) -> emit.Stmt:
        value = emit.load(memory, [place], lanes) + emit.splat(emit.load(zero, [0]), lanes)
        return emit.store(memory, value, [place], lanes)

    body = [emit.parallel(lines, lambda line: add(line * LINE, LINE))] if lines else []
    body += [add(lines * LINE + i, 1) for i in range(rest)]
    return emit.kernel([memory, zero], emit.seq(body), target.threads)
