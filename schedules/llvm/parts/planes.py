"""Windows over the planes of volumes. A volume is stored as planes: ``(N·D, C, H, W)``.

The attribute ``depth`` of a workload has, along the planes: the window, its step, its spacing, the planes of a volume,
and the padding in front and behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.parts.emit import Index, divmod_index
from tvmopt.schedules.workload import Workload


@dataclass(frozen=True, slots=True)
class WindowPlanes:
    """The planes of a window that are inside the volume.

    Attributes:
        first: the first of them, counted within the window.
        count: how many; consecutive.
        place: the number of the output's plane in its volume.
        image: the number of a plane of the window among all planes of the data.
    """

    first: Index
    count: Index
    place: Index
    image: Callable[[Index], Index]


def window_planes(workload: Workload, plane: Index) -> WindowPlanes:
    """The window of a plane of the output, whose number among all planes is `plane`."""
    window, stride, dilation, size, before, _ = workload.attr("depth")
    volumes = workload.inputs[0].shape[0] // size
    volume, place = divmod_index(plane, workload.output.shape[0] // volumes)
    start = place * stride - before
    # Where it begins in front of the volume, as many steps as lead to its first plane.
    first = emit.most(divmod_index(dilation - 1 - start, dilation)[0], 0) if before else 0
    end = emit.least(divmod_index(size - 1 - start, dilation)[0] + 1, window)
    count = emit.most(end - first, 0)
    return WindowPlanes(first, count, place, lambda number: volume * size + start + number * dilation)


def planes_read(workload: Workload) -> int:
    """How many planes inside the volumes the windows of all planes of the output have together."""
    window, stride, dilation, size, before, _ = workload.attr("depth")
    volumes = workload.inputs[0].shape[0] // size
    starts = range(-before, workload.output.shape[0] // volumes * stride - before, stride)
    return int(volumes * sum(0 <= start + i * dilation < size for start in starts for i in range(window)))


def has_depth(workload: Workload) -> bool:
    """Whether windows reach over several planes."""
    return any(name == "depth" for name, _ in workload.attrs)
