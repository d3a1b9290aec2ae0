"""Which input channels the output channels of a tile need, when groups are not whole vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tvmopt.schedules.llvm.convolution.shape import shape_of
from tvmopt.schedules.llvm.parts.emit import Index, divmod_index, least
from tvmopt.schedules.workload import Workload


@dataclass(frozen=True, slots=True)
class Windows:
    """The window of each tile: from the first channel of its first group to the last channel of its last group.

    Windows are counted in units: as many channels as divide both a group and a block, so that each unit lies in one
    block of the data and begins at a multiple of its size.

    Attributes:
        unit: channels of a unit.
        group: units of a group.
        group_out: output channels of a group.
        channels: output channels in all.
        width: output channels of a tile.
    """

    unit: int
    group: int
    group_out: int
    channels: int
    width: int

    @staticmethod
    def of(workload: Workload, width: int) -> Windows:
        """The windows of a grouped ``conv2d`` for tiles of `width` output channels."""
        shape = shape_of(workload)
        unit = math.gcd(shape.group_in, shape.block)
        outputs = shape.out_channels // shape.groups
        return Windows(unit, shape.group_in // unit, outputs, shape.out_channels, width)

    @property
    def tiles(self) -> int:
        """How many tiles there are."""
        return math.ceil(self.channels / self.width)

    @property
    def most(self) -> int:
        """The units of the longest window."""
        return max(int(self.count(tile)) for tile in range(self.tiles))

    def first(self, tile: Index) -> Index:
        """The first unit of a tile's window."""
        return divmod_index(tile * self.width, self.group_out)[0] * self.group

    def count(self, tile: Index) -> Index:
        """How many units a tile's window has."""
        last = least(tile * self.width + self.width, self.channels) - 1
        return (divmod_index(last, self.group_out)[0] + 1) * self.group - self.first(tile)
