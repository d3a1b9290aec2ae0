"""Pooling over windows and over whole maps; a vector is a block of channels of one pixel.

A maximum clamps its window to the map and so needs no padding: a window across the border sees border pixels twice,
which does not change the maximum. It ignores NaN, as onnxruntime's does except at a window's last place: keeping it
would take up to four times as long. The maximum of a whole map keeps it.

An average includes the halo's zeros in its sum and divides by a count that the position determines.

The average of quantised values is that of the floats they stand for. Those of a window are added in onnxruntime's
order, one after another or column by column, and divided by their count: where the result has the same scale, many are
halfway between two integers, and each rounding decides. The integers of a whole map are summed as int32, exactly.
"""

from __future__ import annotations

import math
from typing import Any

from tvmopt.schedules.compute.functions import QUANTIZED
from tvmopt.schedules.dtypes import FLOAT32
from tvmopt.schedules.lazily import lazily
from tvmopt.schedules.llvm.memory_bound.pointwise import MAP_TYPES
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.operands import Epilogue, Pixel, declared, operands_of
from tvmopt.schedules.llvm.parts.planes import WindowPlanes, has_depth, window_planes
from tvmopt.schedules.llvm.parts.register_tile import Accumulators, useful_sizes
from tvmopt.schedules.space import Config, ConfigSpace, Knob
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

tirx = lazily("tvm.tirx")

LOWEST = -math.inf
PARTIAL_SUMS = 4


class Pool2d:
    """The template; attributes: kind (max, average), kernel, strides, pads, count_pads (0 or 1).

    Averages of quantised values have their ``zero`` point and ``scale``, and ``by_column``, whether the sums of a
    window's columns are added. With an attribute ``depth`` (`schedules.llvm.parts.planes`), windows reach over several
    planes of volumes.
    """

    name = "pool2d"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Data and output in blocks of one size, of float32; or quantised data, of images."""
        data, output = workload.inputs[0], workload.output
        if workload.op != "pool2d" or data.block != output.block:
            return False
        if data.dtype == QUANTIZED:
            return workload.dtypes <= MAP_TYPES and (workload.attr("kind") == "max" or not has_depth(workload))
        return workload.dtypes == {FLOAT32}

    def flops(self, workload: Workload) -> int:
        """One operation for each element of each window."""
        planes = workload.attr("depth")[0] if has_depth(workload) else 1
        return int(workload.output.elements * math.prod(workload.attr("kernel")) * planes)

    def space(self, workload: Workload, target: Target) -> ConfigSpace:
        """Columns computed together."""
        return ConfigSpace((Knob("columns", useful_sizes(workload.output.shape[3], 8, (2, 4, 7))),))

    def default(self, workload: Workload, target: Target) -> Config:
        """Enough columns to hide the latency of an addition."""
        return {"columns": max(size for size in self.space(workload, target).knobs[0].values if size <= 8)}

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Columns of the tile."""
        return (float(config["columns"]),)

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc."""
        merges = workload.inputs[0].dtype == FLOAT32 or workload.attr("kind") == "average"
        kernel = _WholeMap if _is_global(workload) and merges else _Windows
        return kernel(workload, target, config).function()


def _is_global(workload: Workload) -> bool:
    rows, columns = workload.inputs[0].shape[2:]
    whole = workload.attr("kernel") == (rows, columns) and not any(workload.attr("pads"))
    return whole and not has_depth(workload)


class _Windows:
    """Writes the loop nest of one workload under one config."""

    def __init__(self, workload: Workload, target: Target, config: Config) -> None:
        self.workload, self.target, self.config = workload, target, config
        self.inputs, self.result = operands_of(workload)
        self.epilogue = Epilogue(workload, self.inputs, self.result, target)
        self.lanes = workload.output.block
        self.kernel, self.stride = workload.attr("kernel"), workload.attr("strides")
        self.pads, self.maximum = workload.attr("pads"), workload.attr("kind") == "max"
        self.integers = workload.inputs[0].dtype == QUANTIZED and not self.maximum

    def function(self) -> Any:
        n, channels, height, _ = self.workload.output.shape
        blocks = math.ceil(channels / self.lanes)

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, blocks * height)
            block, row = divmod_index(index, height)
            return self._row(image, block, row)

        body = declared([*self.inputs, self.result], emit.parallel(n * blocks * height, task))
        return emit.kernel([x.parameter for x in (*self.inputs, self.result)], body, self.target.threads)

    def _row(self, image: Index, block: Index, row: Index) -> Stmt:
        line = emit.split_loop(
            self.workload.output.shape[3],
            self.config["columns"],
            lambda column, columns: self._tile(image, block, row, column, columns),
        )
        return emit.seq([*self.epilogue.zero_halo(image, block, row, 1), line])

    def _tile(self, image: Index, block: Index, row: Index, column: Index, columns: int) -> Stmt:
        data = self.inputs[0]
        accumulators = Accumulators(columns, 1, self.lanes, data.tensor.dtype if self.maximum else FLOAT32)
        _, _, height, width = data.tensor.shape
        top, left = data.tensor.halo[:2]

        def taps(kh: Index, image: Index = image) -> Stmt:
            statements = []
            for kw in range(self.kernel[1]):
                for p in range(columns):
                    y = row * self.stride[0] + kh - self.pads[0]
                    x = (column + p) * self.stride[1] + kw - self.pads[1]
                    if self.maximum:
                        y, x = _clamp(y, height), _clamp(x, width)
                    value = emit.load(data.view, [image, block, y + top, x + left, 0], self.lanes)
                    held = accumulators.value(p, 0)
                    merged = tirx.max(value, held) if self.maximum else held + self._summand(value)
                    statements.append(accumulators.set(p, 0, merged))
            return emit.seq(statements)

        lowest = 0 if data.tensor.dtype == QUANTIZED else LOWEST
        body = accumulators.fill(lowest if self.maximum else 0)
        planes: Index = 1
        if has_depth(self.workload):
            inside = window_planes(self.workload, image)
            planes = self._counted(inside)

            def plane(number: Index) -> Stmt:
                source = inside.image(inside.first + number)
                return emit.loop(self.kernel[0], lambda kh: taps(kh, source), "kh")

            body.append(emit.loop(inside.count, plane, "kd"))
        elif self.integers and self.workload.attr("by_column"):
            return self._by_column(Pixel(image, block, row, column), columns, accumulators, body)
        else:
            body.append(emit.loop(self.kernel[0], taps, "kh"))
        body += self._stores(Pixel(image, block, row, column), accumulators, planes)
        return accumulators.run(body)

    def _by_column(self, at: Pixel, columns: int, sums: Accumulators, start: list[Stmt]) -> Stmt:
        """The tile from `at` on, of averages: the sum of each of a window's columns is added to `sums`."""
        data, parts = self.inputs[0], Accumulators(columns, 1, self.lanes)
        top, left = data.tensor.halo[:2]
        body = [*start]
        for kw in range(self.kernel[1]):

            def line(kh: Index, kw: int = kw) -> Stmt:
                statements = []
                for p in range(columns):
                    y = at.row * self.stride[0] + kh - self.pads[0]
                    x = (at.column + p) * self.stride[1] + kw - self.pads[1]
                    value = emit.load(data.view, [at.image, at.block, y + top, x + left, 0], self.lanes)
                    statements.append(parts.set(p, 0, parts.value(p, 0) + self._summand(value)))
                return emit.seq(statements)

            body += [*parts.fill(0), emit.loop(self.kernel[0], line, "kh")]
            body += [sums.set(p, 0, sums.value(p, 0) + parts.value(p, 0)) for p in range(columns)]
        body += self._stores(at, sums, 1)
        return sums.run([parts.run(body)])

    def _stores(self, at: Pixel, accumulators: Accumulators, planes: Index) -> list[Stmt]:
        """Stores the results of the tile from `at` on."""
        statements = []
        for p in range(accumulators.pixels):
            value = accumulators.value(p, 0)
            if not self.maximum:
                count = self._count(at.row, at.column + p, planes)
                if self.integers:
                    value = value / emit.splat(_as_float(count), self.lanes)
                else:
                    value = value * emit.splat(_share(count), self.lanes)
            statements.append(self.epilogue.store(value, at._replace(column=at.column + p), self.lanes))
        return statements

    def _summand(self, value: emit.Expr) -> emit.Expr:
        """What is added for some elements."""
        if not self.integers:
            return value
        zero, scale = self.workload.attr("zero"), self.workload.attr("scale")
        offset = tirx.Cast(f"float32x{self.lanes}", value) - emit.splat(emit.const(zero), self.lanes)
        # The least that there is changes nothing, but keeps product and sum apart: fused, they would round only once.
        least = emit.splat(emit.const(-zero * scale), self.lanes)
        return tirx.max(offset * emit.splat(emit.const(scale), self.lanes), least)

    def _counted(self, inside: WindowPlanes) -> Index:
        """How many planes the window counts."""
        if not self.workload.attr("count_pads"):
            return inside.count
        window, stride, _, size, before, behind = self.workload.attr("depth")
        return _minimum(inside.place * stride - before + window, size + behind) - (inside.place * stride - before)

    def _count(self, row: Index, column: Index, planes: Index) -> Index:
        """The number of elements that the window counts."""
        sizes = []
        for axis, position in enumerate((row, column)):
            extent = self.workload.inputs[0].shape[2 + axis]
            before, after = self.pads[axis], self.pads[2 + axis]
            start = position * self.stride[axis] - before
            low, high = (-before, extent + after) if self.workload.attr("count_pads") else (0, extent)
            sizes.append(_minimum(start + self.kernel[axis], high) - _maximum(start, low))
        return sizes[0] * sizes[1] * planes


def _as_float(count: Index) -> emit.Expr:
    return emit.const(count) if isinstance(count, int) else tirx.Cast("float32", count)


def _share(count: Index) -> emit.Expr:
    """One divided by a number of elements."""
    return emit.const(1.0 / count) if isinstance(count, int) else emit.const(1.0) / tirx.Cast("float32", count)


class _WholeMap(_Windows):
    """One value per map: partial results in several accumulators, then their sum or maximum."""

    def _row(self, image: Index, block: Index, row: Index) -> Stmt:
        data = self.inputs[0]
        _, _, height, width = data.tensor.shape
        partials = min(PARTIAL_SUMS, width)
        accumulators = Accumulators(partials, 1, self.lanes, "int32" if self.integers else FLOAT32)

        def merge(x: emit.Expr, y: emit.Expr) -> emit.Expr:
            # NaN stays, as in reductions.
            return emit.keep_nan(tirx.max, x, y) if self.maximum else x + y

        def part(y: Index, x: Index, count: int) -> Stmt:
            def merged(p: int) -> emit.Expr:
                value = data.vector(Pixel(image, block, y, x + p), self.lanes)
                if self.integers:
                    value = tirx.Cast(f"int32x{self.lanes}", value)
                return merge(accumulators.value(p, 0), value)

            return emit.seq(accumulators.set(p, 0, merged(p)) for p in range(count))

        def line(y: Index) -> Stmt:
            return emit.split_loop(width, partials, lambda x, count: part(y, x, count))

        sweep = emit.loop(height, line, "y")
        value = accumulators.value(0, 0)
        for p in range(1, partials):
            value = merge(value, accumulators.value(p, 0))
        if not self.maximum:
            value = self._mean(value, height * width)
        stored = self.epilogue.store(value, Pixel(image, block, 0, 0), self.lanes)
        zeros = self.epilogue.zero_halo(image, block, 0, 1)
        return accumulators.run([*accumulators.fill(LOWEST if self.maximum else 0), sweep, stored, *zeros])

    def _mean(self, total: emit.Expr, count: int) -> emit.Expr:
        share = 1.0 / count
        if self.integers:
            zeros = emit.splat(emit.const(count * self.workload.attr("zero"), "int32"), self.lanes)
            total, share = tirx.Cast(f"float32x{self.lanes}", total - zeros), self.workload.attr("scale") / count
        return total * emit.splat(emit.const(share), self.lanes)


def _clamp(index: Index, extent: int) -> Index:
    return _minimum(_maximum(index, 0), extent - 1)


def _minimum(index: Index, bound: int) -> Index:
    return min(index, bound) if isinstance(index, int) else tirx.min(index, tirx.const(bound, "int32"))


def _maximum(index: Index, bound: int) -> Index:
    return max(index, bound) if isinstance(index, int) else tirx.max(index, tirx.const(bound, "int32"))
