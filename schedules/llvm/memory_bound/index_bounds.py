"""Checks numbers computed at run time: indices before a kernel reads or writes there, divisors for zero."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, View
from tvmopt.schedules.workload import Tensor

ERROR = "IndexError"
"""The kind of error that the kernel reports, in the words of TVM's runtime and of ours."""


def check_indices(indices: Tensor, limits: tuple[int, ...], wraps: bool, message: str) -> Any:
    """The PrimFunc that copies `indices`, none of them negative, or fails with `message` if one is out of range.

    A kernel reads the copy, so it can never run before the check.

    Args:
        indices: int32 or int64, in row-major order; if there are several `limits`, its last dimension has their number.
        limits: the first index that is too large: one for all, or one for each place along the last dimension. None
            for divisors, integers of any type: a zero is wrong, and nothing else.
        wraps: whether negative indices count from the end, down to minus the limit.
        message: what is wrong, for the user.
    """
    import tvm
    from tvm import tirx

    given = tirx.decl_buffer(indices.shape, indices.dtype, name="indices")
    checked = tirx.decl_buffer(indices.shape, indices.dtype, name="checked")
    columns = max(len(limits), 1)
    shape = (indices.elements // columns, columns)
    flat = [View.of(buffer, shape) for buffer in (given, checked)]
    zero = tirx.const(0, indices.dtype)

    def element(row: Index, column: int) -> Stmt:
        value = tirx.Var("value", indices.dtype)
        read = emit.load(flat[0], [row, column])
        wrapped, inside = read, tirx.NE(value, zero)
        if limits:
            limit = tirx.const(limits[column], indices.dtype)
            # From int32's or int64's lowest value on, adding a limit to a negative index cannot overflow.
            wrapped = tirx.Select(read < zero, read + limit, read) if wraps else read
            inside = tirx.all(value >= zero, value < limit)
        fail = tirx.AssertStmt(inside, tvm.ir.StringImm(ERROR), [tvm.ir.StringImm(message)])
        return tirx.SeqStmt([tirx.Bind(value, wrapped), fail, emit.store(flat[1], value, [row, column])])

    def line(row: Index) -> Stmt:
        return emit.seq(element(row, column) for column in range(columns))

    body = emit.seq([*(view.declare() for view in flat), emit.loop(shape[0], line)])
    return emit.kernel([given, checked], body, threads=1)
