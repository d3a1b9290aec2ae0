"""How a kernel reads and writes its operands: views of their buffers, broadcasting, halos, epilogues."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tvmopt.schedules.compute.functions import LONG_CHAINS
from tvmopt.schedules.compute.pointwise import VectorMath
from tvmopt.schedules.compute.typed import element_type
from tvmopt.schedules.expression import Arg, Call, Const, Expr, arguments_of, functions_of, tables_of
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.bytes import TOGETHER, VECTORS, rounded_bytes
from tvmopt.schedules.llvm.parts.emit import Buffer, Index, Stmt, View
from tvmopt.schedules.llvm.parts.lookup import Lookup
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

tirx = lazily("tvm.tirx")

SIDE_BY_SIDE = 2
"""How many results of functions in `LONG_CHAINS` are computed as one vector."""


class Pixel(NamedTuple):
    """Where in a blocked feature map: image, channel block, and logical row and column (without halo)."""

    image: Index
    block: Index
    row: Index
    column: Index


class Operand:
    """A parameter of a kernel, seen as ``(N, channel blocks, rows, columns, block)``.

    Tensors of other ranks are seen as ``(1, 1, 1, 1, elements)``: only whole-tensor or scalar access fits them.
    """

    def __init__(self, tensor: Tensor, name: str) -> None:
        self.tensor = tensor
        self.parameter: Buffer = tirx.decl_buffer(tensor.physical_shape, tensor.dtype, name=name)
        self.view = View.of(self.parameter, self._view_shape())

    def _view_shape(self) -> tuple[int, ...]:
        shape = self.tensor.physical_shape
        if len(self.tensor.shape) != 4:
            return (1, 1, 1, 1, max(self.tensor.elements, 1))
        return shape if len(shape) == 5 else (*shape, 1)

    def declare(self) -> Stmt:
        """The statement that makes the view usable."""
        return self.view.declare()

    def flattened(self) -> Operand:
        """The same memory with rows and columns as one row; for tensors without a halo."""
        n, c, h, w = self.tensor.shape
        return self.seen_as(Tensor((n, c, 1, h * w), self.tensor.dtype, self.tensor.block))

    def turned(self) -> Operand:
        """The same memory with rows and columns exchanged; for one row without halos above and below it."""
        return self.seen_as(self.tensor.turned())

    def seen_as(self, tensor: Tensor) -> Operand:
        """The same memory as another tensor, also of another element type."""
        other = Operand.__new__(Operand)
        other.tensor, other.parameter = tensor, self.parameter
        other.view = View.of(self.parameter, other._view_shape(), tensor.dtype)
        return other

    def vector(self, at: Pixel, lanes: int) -> Any:
        """The first `lanes` channels of the pixel's block, dimensions of size one repeated."""
        if len(self.tensor.shape) != 4:
            return emit.splat(emit.load(self.view, [0, 0, 0, 0, 0]), lanes)
        size_n, size_c, size_h, size_w = self.tensor.shape
        top, left, _, _ = self.tensor.halo
        image = at.image if size_n > 1 else 0
        row, column = (at.row if size_h > 1 else 0) + top, (at.column if size_w > 1 else 0) + left
        if size_c == 1:
            return emit.splat(emit.load(self.view, [image, 0, row, column, 0]), lanes)
        return emit.load(self.view, [image, at.block, row, column, 0], lanes)

    def prefetch(self, at: Pixel, for_writing: bool = False) -> Stmt:
        """Prefetches the cache line of the pixel's block."""
        top, left, _, _ = self.tensor.halo
        return emit.prefetch(self.view, [at.image, at.block, at.row + top, at.column + left, 0], for_writing)

    def write(self, value: Any, at: Pixel, lanes: int) -> Stmt:
        """Stores a vector of channels of one pixel."""
        top, left, _, _ = self.tensor.halo
        return emit.store(self.view, value, [at.image, at.block, at.row + top, at.column + left, 0], lanes)


def evaluated(expr: Expr, value: Any, operands: Sequence[Operand], at: Pixel, lanes: int) -> Any:
    """`expr` of `value`, a vector of channels of one pixel, and of the workload's operands there."""
    return VectorMath(lanes).evaluate(expr, value, lambda i: operands[i].vector(at, lanes))


class Epilogue:
    """The tail of a kernel: applies the workload's expression to a result and stores it.

    Args:
        workload: whose expression it is.
        operands: its inputs.
        output: where results are stored.
        target: decides how tables are looked up.
    """

    def __init__(
        self, workload: Workload, operands: Sequence[Operand], output: Operand, target: Target | None = None
    ) -> None:
        self.workload = workload
        self.operands = operands
        self.output = output
        self.tables = {i: Lookup(operands[i].view, target) for i in tables_of(workload.epilogue)}

    def _evaluated(self, expr: Expr, value: Any, at: Pixel, lanes: int) -> Any:
        """`expr` of `value`, a vector of channels of one pixel."""

        def argument(index: int) -> Any:
            return self.tables.get(index) or self.operands[index].vector(at, lanes)

        return VectorMath(lanes).evaluate(expr, value, argument)

    def store(self, value: Any, at: Pixel, lanes: int) -> Stmt:
        """Stores the epilogue of `value` at one pixel's vector of channels."""
        return self.output.write(self._evaluated(self.workload.epilogue, value, at, lanes), at, lanes)

    def store_all(self, results: Sequence[tuple[Any, Pixel]], lanes: int) -> list[Stmt]:
        """Stores the epilogue of each result at its pixel.

        Functions with long chains of operations compute several results side by side, as one wide vector: a processor
        looks only so far ahead, and would otherwise wait for one chain before it reaches the next.
        """
        if not functions_of(self.workload.epilogue) & LONG_CHAINS:
            return [self.store(value, at, lanes) for value, at in results]
        together = [results[first : first + SIDE_BY_SIDE] for first in range(0, len(results), SIDE_BY_SIDE)]
        return [statement for group in together for statement in self._store_wide(group, lanes)]

    @property
    def packs(self) -> bool:
        """Whether `store_runs` stores several vectors as one: of bytes, which are rounded without a division."""
        tensor, (expr, _) = self.output.tensor, self._rounding()
        if not (isinstance(expr, Call) and expr.function == "quantize" and expr.operands[1] == Const(1.0)):
            return False
        known = isinstance(expr.operands[2], Const)
        return known and tensor.block in VECTORS and not functions_of(expr) & LONG_CHAINS

    def store_runs(self, runs: Iterable[Sequence[tuple[Any, Pixel]]], lanes: int) -> list[Stmt]:
        """Stores the epilogue of each result at its pixel; a run has neighbours in a row of one channel block.

        Where vectors are stored as one (`packs`), the last ones of a run may be computed twice.
        """
        return [statement for run in runs for statement in self._store_run(run, lanes)]

    def _store_run(self, run: Sequence[tuple[Any, Pixel]], lanes: int) -> list[Stmt]:
        if len(run) < TOGETHER or not self.packs:
            return self.store_all(run, lanes)
        whole, rest = divmod(len(run), TOGETHER)
        firsts = [group * TOGETHER for group in range(whole)]
        if rest > 1:
            firsts, rest = [*firsts, len(run) - TOGETHER], 0
        groups = [run[first : first + TOGETHER] for first in firsts]
        alone = self.store_all(run[len(run) - rest :], lanes)
        return [*(self._store_bytes(group, lanes) for group in groups), *alone]

    def _store_bytes(self, group: Sequence[tuple[Any, Pixel]], lanes: int) -> Stmt:
        rounding, table = self._rounding()
        assert isinstance(rounding, Call)
        expr, _, zero = rounding.operands
        assert isinstance(zero, Const)
        floats = [self._evaluated(expr, value, at, lanes) for value, at in group]
        made = rounded_bytes(floats, int(zero.value), lanes)
        made = made if table is None else table.of(made, TOGETHER * lanes)
        return self.output.write(made, group[0][1], TOGETHER * lanes)

    def _rounding(self) -> tuple[Expr, Lookup | None]:
        """What makes the bytes, and the table in which they are looked up, if there is one."""
        match self.workload.epilogue:
            case Call("table", (places, Arg(index))):
                return places, self.tables[index]
        return self.workload.epilogue, None

    def _store_wide(self, group: Sequence[tuple[Any, Pixel]], lanes: int) -> list[Stmt]:
        values, places = [value for value, _ in group], [at for _, at in group]
        result = VectorMath(lanes * len(group)).evaluate(
            self.workload.epilogue,
            emit.joined(values, lanes),
            lambda i: self.tables.get(i) or emit.joined([self.operands[i].vector(at, lanes) for at in places], lanes),
        )
        wide = tirx.Var("wide", f"{element_type(result)}x{lanes * len(group)}")
        parts = [self.output.write(emit.part(wide, k * lanes, lanes), at, lanes) for k, at in enumerate(places)]
        return [tirx.Bind(wide, result), *parts]

    def prefetch(self, at: Pixel) -> list[Stmt]:
        """Prefetches what `store` will read from maps as large as the output, and where it will write."""
        shape = self.output.tensor.shape
        read = [self.operands[i] for i in sorted(arguments_of(self.workload.epilogue))]
        maps = [operand.prefetch(at) for operand in read if operand.tensor.shape == shape]
        return [*maps, self.output.prefetch(at, for_writing=True)]

    def zero_halo(self, image: Index, block: Index, first_row: Index, rows: int) -> list[Stmt]:
        """Fills the halo around the rows `first_row … first_row + rows - 1` of one channel block.

        The task with the first row also writes the halo above it, the one with the last row the halo below.
        """
        tensor = self.output.tensor
        top, left, bottom, right = tensor.halo
        height, width = tensor.shape[2], tensor.shape[3]
        whole = left + width + right
        statements = []
        for first, count in ((0, left), (left + width, right)):
            if count:
                statements.append(self._zeros(Pixel(image, block, first_row + top, first), rows, count))
        if top:
            above = self._zeros(Pixel(image, block, 0, 0), top, whole)
            statements.append(_when(first_row, 0, above))
        if bottom:
            below = self._zeros(Pixel(image, block, top + height, 0), bottom, whole)
            statements.append(_when(first_row + rows, height, below))
        return statements

    def zero_ends(self, image: Index, block: Index, first_column: Index, columns: int) -> list[Stmt]:
        """Like `zero_halo`, for a map of one row whose columns several tasks share.

        The task with the first column also writes the halo before it and the rows above and below, the one with the
        last column the halo after it.
        """
        tensor = self.output.tensor
        top, left, bottom, right = tensor.halo
        width = tensor.shape[3]
        whole = left + width + right
        before = [self._zeros(Pixel(image, block, top, 0), 1, left)] if left else []
        for row, rows in ((0, top), (top + 1, bottom)):
            before += [self._zeros(Pixel(image, block, row, 0), rows, whole)] if rows else []
        statements = [_when(first_column, 0, emit.seq(before))] if before else []
        if right:
            after = self._zeros(Pixel(image, block, top, left + width), 1, right)
            statements.append(_when(first_column + columns, width, after))
        return statements

    def _zeros(self, at: Pixel, rows: int, columns: int) -> Stmt:
        """Zeros, or the output's fill, from pixel `at` on, whose row and column include the halo."""
        lanes = self.output.tensor.block
        zero = emit.splat(emit.const(self.output.tensor.fill, self.output.tensor.dtype), lanes)

        def body(i: Index, j: Index) -> Stmt:
            return emit.store(self.output.view, zero, [at.image, at.block, at.row + i, at.column + j, 0], lanes)

        return emit.nest((rows, columns), body)


def _when(value: Index, wanted: int, statement: Stmt) -> Stmt:
    if isinstance(value, int):
        return statement if value == wanted else emit.seq([])
    return tirx.IfThenElse(tirx.EQ(value, tirx.const(wanted, "int32")), statement, None)


def flattens(tensor: Tensor, output: Tensor) -> bool:
    """Whether a kernel that treats the rows of `output` as one can read `tensor`, an epilogue's operand, likewise."""
    if len(tensor.shape) != 4:
        return True
    return not any(tensor.halo) and tensor.shape[2:] in (output.shape[2:], (1, 1))


def operands_of(workload: Workload) -> tuple[list[Operand], Operand]:
    """The workload's inputs and its output, as operands."""
    inputs = [Operand(tensor, f"input{i}") for i, tensor in enumerate(workload.inputs)]
    return inputs, Operand(workload.output, "output")


def declared(operands: Iterable[Operand], body: Stmt) -> Stmt:
    """`body` after the declarations of the operands' views."""
    return tirx.SeqStmt([*(operand.declare() for operand in operands), body])
