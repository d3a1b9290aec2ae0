"""Which input channel each lane of a vector of output channels needs, when several groups share the vector."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tvmopt.schedules.llvm.convolution.shape import Shape


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Lanes and groups line up alike every few blocks of output channels.

    Attributes:
        lanes: of a vector, and channels of a block.
        group_in: input channels of a group.
        group_out: output channels of a group.
        period: after so many blocks of output channels everything repeats.
        blocks: so many blocks of input channels later.
    """

    lanes: int
    group_in: int
    group_out: int
    period: int
    blocks: int

    @staticmethod
    def of(shape: Shape, lanes: int) -> Arrangement:
        """The arrangement of a grouped convolution."""
        inputs, outputs = shape.group_in, shape.out_channels // shape.groups
        # The fewest groups that fill whole blocks on both sides.
        groups = math.lcm(lanes // math.gcd(lanes, inputs), lanes // math.gcd(lanes, outputs))
        return Arrangement(lanes, inputs, outputs, groups * outputs // lanes, groups * inputs // lanes)

    def channel(self, output: int, step: int) -> int:
        """The input channel of its group that an output channel reads in a step: after `group_in` steps, every one.

        In the first step that is the channel at the output's own place, where groups have as many of both: no shuffle.
        Where they can, lanes exchange places by their distance, which is an instruction that needs no table.
        """
        place = output % self.group_out % self.group_in
        return place ^ step if self.group_in & (self.group_in - 1) == 0 else (place + step) % self.group_in

    def shuffle(self, phase: int, step: int) -> tuple[list[int], list[int]]:
        """Where the lanes of block `phase` of a period find what they read in a step.

        Returns:
            The input blocks to read, counted from the period's first, and for each lane its place in these blocks.
        """
        outputs = range(phase * self.lanes, (phase + 1) * self.lanes)
        needed = [output // self.group_out * self.group_in + self.channel(output, step) for output in outputs]
        blocks = sorted({one // self.lanes for one in needed})
        return blocks, [blocks.index(one // self.lanes) * self.lanes + one % self.lanes for one in needed]
