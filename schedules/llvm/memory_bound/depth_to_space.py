"""Moves channels to rows and columns: each group of channels becomes the pixels of a small square."""

from __future__ import annotations

from typing import Any

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, Stmt, divmod_index
from tvmopt.schedules.llvm.parts.fixed import NoKnobs
from tvmopt.schedules.llvm.parts.operands import declared, operands_of
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload


class DepthToSpace(NoKnobs):
    """The template; reads any layout, halo included, and writes row-major order.

    Attributes: ``strides``, the rows and columns of a square; ``order``, ``CRD`` if a square's channels are neighbours,
    ``DCR`` if the channels of one place in all squares are. The output may end within a square.
    """

    name = "depth_to_space"
    version = 1

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Any dtype."""
        return workload.op == self.name and workload.output.plain

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc: a task is the rows of one line of squares."""
        (source,), result = operands_of(workload)
        n, channels, height, width = workload.output.shape
        strides, block = workload.attr("strides"), source.tensor.block
        lines = source.tensor.shape[2]
        top, left = source.tensor.halo[:2]

        def task(index: Index) -> Stmt:
            image, index = divmod_index(index, channels * lines)
            channel, line = divmod_index(index, lines)
            return emit.seq(
                emit.when_below(line * strides[0] + row, height, copy(image, channel, line, row))
                for row in range(strides[0])
            )

        def copy(image: Index, channel: Index, line: Index, row: int) -> Stmt:
            def square(place: Index, count: int) -> Stmt:
                return emit.seq(element(image, channel, (line, row), (place, column)) for column in range(count))

            whole, rest = divmod(width, strides[1])
            body = [emit.loop(whole, lambda place: square(place, strides[1]), "x")] if whole else []
            return emit.seq([*body, square(whole, rest)] if rest else body)

        def element(image: Index, channel: Index, y: tuple[Index, int], x: tuple[Index, int]) -> Stmt:
            part = y[1] * strides[1] + x[1]
            count = strides[0] * strides[1]
            place = channel * count + part if workload.attr("order") == "CRD" else part * channels + channel
            first, lane = divmod_index(place, block)
            value = emit.load(source.view, [image, first, y[0] + top, x[0] + left, lane])
            at = [image, channel, y[0] * strides[0] + y[1], x[0] * strides[1] + x[1], 0]
            return emit.store(result.view, value, at)

        body = declared([source, result], emit.parallel(n * channels * lines, task))
        return emit.kernel([source.parameter, result.parameter], body, target.threads)
