"""Building blocks for loop nests in TIR: loops, vectors, accumulators."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tvmopt.schedules.lazily import lazily

tirx = lazily("tvm.tirx")


Expr = Any
Stmt = Any
Buffer = Any
Index = Any

LAUNCH_POINT = "pragma_parallel_launch_point"
"""Marks a statement that all threads run, whatever parallel loops it contains."""

FLAT = "tvmopt.flat"
"""Marks a PrimFunc of plain loops that accesses memory in one dimension only: TVM has less to do for it."""

KEEPS_SUMS = "tvmopt.keeps_sums"
"""Marks a PrimFunc whose sums LLVM must leave alone: it takes apart instructions that multiply and add."""

LINE = 16
"""Float32 elements in a cache line."""


def seq(statements: Iterable[Stmt]) -> Stmt:
    """One statement that runs `statements` in order."""
    flat = list(statements)
    if not flat:
        return tirx.Evaluate(tirx.const(0, "int32"))
    return flat[0] if len(flat) == 1 else tirx.SeqStmt(flat)


def loop(extent: Index, body: Callable[[Index], Stmt], name: str = "i") -> Stmt:
    """A serial loop; just the body when it is known to run once."""
    if isinstance(extent, int) and extent == 1:
        return body(0)
    variable = tirx.Var(name, "int32")
    return tirx.For(variable, 0, extent, tirx.ForKind.SERIAL, body(variable))


def nest(extents: Sequence[Index], body: Callable[..., Stmt], name: str = "i") -> Stmt:
    """Nested serial loops, the last innermost; `body` gets one index per extent."""
    if not extents:
        return body()
    return loop(extents[0], lambda i: nest(extents[1:], lambda *rest: body(i, *rest), name), name)


def parallel(extent: int, body: Callable[[Index], Stmt]) -> Stmt:
    """A loop whose iterations are divided among the threads; just the body when there is only one iteration."""
    if extent == 1:
        return body(0)
    variable = tirx.Var("task", "int32")
    return tirx.For(variable, 0, extent, tirx.ForKind.PARALLEL, body(variable))


def split_loop(extent: int, step: int, body: Callable[[Index, int], Stmt], name: str = "t") -> Stmt:
    """Runs `body(start, size)` over whole steps, and once more over the remainder."""
    whole, rest = divmod(extent, step)
    parts = []
    if whole:
        parts.append(loop(whole, lambda i: body(i * step, step), name))
    if rest:
        parts.append(body(whole * step, rest))
    return seq(parts)


def in_vectors(size: int, widths: Sequence[int], body: Callable[[Index, int], Stmt]) -> Stmt:
    """Runs `body(start, width)` over `size` elements: as many as possible of the first width, then of the next.

    Args:
        size: how many elements.
        widths: in descending order, the last is one.
        body: handles `width` elements from `start` on.
    """

    def run(first: int, width: int, count: int) -> Stmt:
        return loop(count, lambda i: body(first + i * width, width))

    parts, done = [], 0
    for width in dict.fromkeys(widths):
        count = (size - done) // width
        if count:
            parts.append(run(done, width, count))
        done += count * width
    return seq(parts)


def choose(index: Index, whole: int, rest: bool, body: Callable[[bool], Stmt]) -> Stmt:
    """`body(False)` where index < whole, else `body(True)`; branches that never run are not written."""
    if not rest:
        return body(False)
    if whole == 0:
        return body(True)
    return tirx.IfThenElse(index < whole, body(False), body(True))


def case(index: Index, bodies: Sequence[Stmt]) -> Stmt:
    """The statement with the number `index`."""
    *others, chosen = bodies
    for number in reversed(range(len(others))):
        chosen = tirx.IfThenElse(tirx.EQ(index, tirx.const(number, "int32")), others[number], chosen)
    return chosen


def when_below(index: Index, limit: Index, body: Stmt) -> Stmt:
    """`body` where index < limit; decided at once if both are constants."""
    if isinstance(index, int) and isinstance(limit, int):
        return body if index < limit else seq([])
    return tirx.IfThenElse(index < limit, body, None)


def const(value: float, dtype: str = "float32") -> Expr:
    """A scalar constant."""
    return tirx.const(value, dtype)


def splat(value: Expr, lanes: int) -> Expr:
    """`value` in every lane."""
    return value if lanes == 1 else tirx.Broadcast(value, lanes)


@dataclass(frozen=True, slots=True)
class View:
    """A parameter's memory, seen in other dimensions.

    What accesses it is written for one row of elements, so that TVM's passes need not compute where each access goes:
    for kernels that are unrolled far, that took them a sixth of the time.

    Attributes:
        parameter: whose memory it is.
        row: the same memory in one dimension.
        shape: the dimensions that it is seen in.
    """

    parameter: Buffer
    row: Buffer
    shape: tuple[int, ...]

    @staticmethod
    def of(parameter: Buffer, shape: Sequence[int], dtype: str = "") -> View:
        """A parameter seen in `shape`, and as `dtype` if one of the same width is given."""
        name, size = f"{parameter.name}_view", max(math.prod(shape), 1)
        return View(parameter, tirx.decl_buffer((size,), dtype or parameter.dtype, name=name), tuple(shape))

    def declare(self) -> Stmt:
        """The statement that makes the view usable."""
        return tirx.DeclBuffer(self.row, data=tirx.buffer_data(self.parameter))

    def place(self, indices: Sequence[Index]) -> Index:
        """Where an element is in the row."""
        place: Index = 0
        for index, size in zip(indices, self.shape, strict=True):
            place = _sum(place if size == 1 or _is_zero(place) else place * size, index)
        return place


def load(buffer: Buffer | View, indices: Sequence[Index], lanes: int = 1) -> Expr:
    """`lanes` neighbouring elements of the last dimension from `indices` on."""
    return tirx.BufferLoad(*_vector(buffer, indices, lanes))


def store(buffer: Buffer | View, value: Expr, indices: Sequence[Index], lanes: int = 1) -> Stmt:
    """Stores `lanes` neighbouring elements of the last dimension."""
    row, place = _vector(buffer, indices, lanes)
    return tirx.BufferStore(row, value, place)


def prefetch(buffer: Buffer | View, indices: Sequence[Index], for_writing: bool = False) -> Stmt:
    """Prefetches the cache line at `indices` into every level; it may be beyond the buffer's end."""
    address = tirx.address_of(tirx.BufferLoad(*_vector(buffer, indices, 1)))
    write, keep, data = (tirx.const(value, "int32") for value in (int(for_writing), 3, 1))
    return tirx.Evaluate(tirx.call_intrin("void", "tirx.prefetch", address, write, keep, data))


SPREAD = 1
"""As a distance: the next panel is prefetched evenly during the work on the current one."""


def prefetch_row(buffer: View, place: Index, elements: int, distance: int) -> list[Stmt]:
    """Prefetches `elements` floats that are read `distance` elements from now; nothing when that is 0 or `SPREAD`.

    Args:
        buffer: has five dimensions, with the elements along the last.
        place: where the elements read now begin.
        elements: how many are read at once.
        distance: how far ahead. The hardware's prefetcher stops at each page; this one does not.
    """
    if distance in (0, SPREAD):
        return []
    return [prefetch(buffer, [0, 0, 0, 0, place + distance + first]) for first in range(0, elements, LINE)]


@dataclass(frozen=True, slots=True)
class Share:
    """One tile's share of the work on one panel: `size` parts of `whole`, after the first `before`."""

    before: Index
    size: int
    whole: int


def prefetch_share(buffer: View, panel: Index, share: Share, steps: tuple[Index, int, int], width: int) -> list[Stmt]:
    """Prefetches the next panel in proportion to the work that some steps do on this one.

    Otherwise a panel's first tile would wait for memory and the others find it in the cache: so all share the fetching.

    Args:
        buffer: has five dimensions, with the panels along the last.
        panel: where the next panel begins.
        share: the tile's share of the work.
        steps: the first step done now, how many, and how many a tile does in all.
        width: float32 elements of a panel that a step reads.
    """
    first, count, depth = steps
    if share.whole * depth * width >= 1 << 31:
        return []  # indices are int32; with this much work, waiting for one panel does not matter
    done = divmod_index((share.before * depth + first * share.size) * width, share.whole)[0]
    lines = math.ceil(count * share.size * width / share.whole / LINE)
    return [prefetch(buffer, [0, 0, 0, 0, panel + done + line * LINE]) for line in range(lines)]


def least(index: Index, limit: int) -> Index:
    """The smaller of the two."""
    return min(index, limit) if isinstance(index, int) else tirx.min(index, limit)


def keep_nan(function: Callable[[Expr, Expr], Expr], held: Expr, value: Expr) -> Expr:
    """``tirx.max`` or ``tirx.min`` as `function`, of what is held and a new value; NaN in either stays.

    For unordered operands TVM's functions return the second: NaN that is held already. Looking for NaN in the value is
    no part of the chain from one result to the next.
    """
    return tirx.Select(tirx.isnan(value), value, function(value, held))


def most(index: Index, limit: int) -> Index:
    """The larger of the two."""
    return max(index, limit) if isinstance(index, int) else tirx.max(index, limit)


def entry(table: Sequence[int], index: Index) -> Index:
    """The number at `index` of a short table that is known."""
    if isinstance(index, int):
        return table[index]
    steps = {after - before for before, after in itertools.pairwise(table)}
    if len(steps) < 2:
        return table[0] + index * steps.pop() if steps and 0 not in steps else table[0]
    chosen: Index = tirx.const(table[-1], "int32")
    for place in reversed(range(len(table) - 1)):
        chosen = tirx.Select(tirx.EQ(index, tirx.const(place, "int32")), tirx.const(table[place], "int32"), chosen)
    return chosen


def named(value: Index, name: str) -> tuple[Index, list[Stmt]]:
    """`value` computed once under a name, and the statement that computes it; nothing to compute if it is known."""
    if isinstance(value, int):
        return value, []
    variable = tirx.Var(name, "int32")
    return variable, [tirx.Bind(variable, value)]


def divmod_index(index: Index, size: Index) -> tuple[Index, Index]:
    """Quotient and remainder of an index, computed at once where possible."""
    if isinstance(index, int) and isinstance(size, int):
        return divmod(index, size)
    if isinstance(size, int) and size == 1:
        return index, 0
    return tirx.floordiv(index, size), tirx.floormod(index, size)


def local(size: int, name: str, dtype: str = "float32") -> Buffer:
    """A buffer for registers: every access to it must have a constant index after unrolling.

    Below a kilobyte, and in TVM's global scope, it is on the stack, from where LLVM moves it to registers. TVM puts
    anything else on the heap.
    """
    return tirx.decl_buffer((size,), dtype, name=name)


def allocate(buffers: Iterable[Buffer], body: Iterable[Stmt]) -> Stmt:
    """`body` with `buffers` allocated for it."""
    return tirx.SeqStmt([*(tirx.AllocBuffer(buffer) for buffer in buffers), *body])


def kernel(buffers: Sequence[Buffer], body: Stmt, threads: int) -> Any:
    """The PrimFunc of `body`; with one thread its parallel loops become serial ones.

    Args:
        buffers: parameters, inputs first, the output last; they do not overlap.
        body: the loop nest; all that it accesses has one dimension.
        threads: how many threads the parallel loops are divided among.
    """
    function = tirx.PrimFunc(list(buffers), body)
    function = function.with_attr("tirx.noalias", True).with_attr("tirx.is_scheduled", True).with_attr(FLAT, True)
    return function if threads > 1 else serialized(function)


def keeping_sums(function: Any) -> Any:
    """A PrimFunc with sums of integers in its reduction, marked (`KEEPS_SUMS`)."""
    return function.with_attr(KEEPS_SUMS, True)


def serialized(function: Any) -> Any:
    """`function` with serial loops in place of parallel ones."""
    import tvm_ffi

    def serial(statement: Any) -> Any:
        if int(statement.kind) != int(tirx.ForKind.PARALLEL):
            return statement
        return tirx.For(statement.loop_var, statement.min, statement.extent, tirx.ForKind.SERIAL, statement.body)

    return function.with_body(tvm_ffi.structural_map(function.body, (tirx.For, serial), order="post"))


def parallel_tasks(function: Any) -> int:
    """How many iterations the parallel loops of a PrimFunc have; threads may steal them from each other.

    0 if there are no such loops, if they differ, if the number is not known, or if the function divides its work by the
    number of threads itself (`schedules.llvm.recurrent.barrier`): all parts must then run at once, one on each thread.
    """
    import tvm_ffi

    extents: set[int] = set()

    def visit(statement: Any) -> None:
        if isinstance(statement, tirx.AttrStmt) and statement.attr_key == LAUNCH_POINT:
            extents.add(0)
        if isinstance(statement, tirx.For) and int(statement.kind) == int(tirx.ForKind.PARALLEL):
            extents.add(int(statement.extent) if isinstance(statement.extent, tirx.IntImm) else 0)

    tvm_ffi.structural_walk(function.body, ((tirx.For, tirx.AttrStmt), visit))
    return extents.pop() if len(extents) == 1 else 0


def joined(vectors: Sequence[Expr], lanes: int) -> Expr:
    """Vectors of `lanes` elements, concatenated into one."""
    return shuffled(vectors, range(len(vectors) * lanes))


def shuffled(vectors: Sequence[Expr], places: Sequence[int]) -> Expr:
    """The elements at `places` of some vectors, which are counted one after another."""
    return tirx.Shuffle(list(vectors), [tirx.const(place, "int32") for place in places])


def part(vector: Expr, first: int, lanes: int) -> Expr:
    """`lanes` elements of a vector from `first` on."""
    return shuffled([vector], range(first, first + lanes))


def lanes_sum(vector: Expr, lanes: int) -> Expr:
    """The sum of the elements of a vector of float32, halves added to halves."""
    if lanes == 1:
        return vector
    whole = tirx.Var("whole", f"float32x{lanes}")
    halves = part(whole, 0, lanes // 2) + part(whole, lanes // 2, lanes // 2)
    return tirx.Let(whole, vector, lanes_sum(halves, lanes // 2))


def _vector(buffer: Buffer | View, indices: Sequence[Index], lanes: int) -> tuple[Buffer, list[Index]]:
    """What has one dimension, and the place of `lanes` elements in it."""
    if isinstance(buffer, View):
        row, place = buffer.row, buffer.place(indices)
    else:
        row, (place,) = buffer, indices
    return row, [place if lanes == 1 else tirx.Ramp(place, 1, lanes)]


def _sum(left: Index, right: Index) -> Index:
    if _is_zero(left):
        return right
    return left if _is_zero(right) else left + right


def _is_zero(index: Index) -> bool:
    return isinstance(index, int) and index == 0
