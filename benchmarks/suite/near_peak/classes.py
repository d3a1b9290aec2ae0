"""Classes of kernels by operator and algorithm, each with a performance limit that its kernels must reach.

A kernel's share measures how close it comes to the machine's limit: direct FLOP / time / measured peak, which exceeds 1
if an algorithm saves operations; or, where moving its operands takes longer, the roofline's minimum time / time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tvmopt.schedules.operators import (
    CONV2D,
    CONV3D,
    DENSE,
    DEPTHWISE_CONV2D,
    EXPANDED_CONV2D,
    SEPARABLE_CONV2D,
    TRANSPOSED_CONV2D,
    operator_of,
)
from tvmopt.schedules.workload import Workload

LARGE_FLOPS = 50_000_000
"""Smaller direct convolutions and matrix products have no limit, since start-up and end dominate their time."""

SMALL_PIXELS = 64
"""Maps of 7×7 and similar: few pixels for each weight, which is read from beyond the caches."""

WINOGRAD_SIDES = (28, 56)
SCALED_NETWORK, SCALING_LIMIT = "resnet50", 1.8
"""The network whose speed-up from one to two threads has a limit, and the limit."""


@dataclass(frozen=True, slots=True)
class KernelClass:
    """Kernels that share one limit.

    Attributes:
        name: its name in tables.
        limit: the share that each kernel must reach; None for no limit.
        of_roofline: whether memory bounds most of its kernels, so that tables name the roofline instead of the peak.
        single_thread: whether only single-threaded kernels belong to it.
    """

    name: str
    limit: float | None
    of_roofline: bool = False
    single_thread: bool = False


LARGE = KernelClass("direct, ≥ 50 MFLOP", 0.88, single_thread=True)
SMALL = KernelClass("direct, ≥ 50 MFLOP, map ≤ 64 pixels", 0.80, single_thread=True)
WINOGRAD = KernelClass("3×3 stride 1, 56×56 and 28×28", 2.0)
OTHER_WINOGRAD = KernelClass("Winograd on other maps", None)
LINES = KernelClass("over lines, ≥ 50 MFLOP", 0.85, single_thread=True)
VOLUMES = KernelClass("over volumes, ≥ 50 MFLOP", 0.85, single_thread=True)
TRANSPOSED = KernelClass("transposed, ≥ 50 MFLOP", 0.85, single_thread=True)
DEPTHWISE = KernelClass("depthwise 3×3", 0.65, of_roofline=True)
VECTOR = KernelClass("matrix × vector, ≥ 50 MFLOP", None, of_roofline=True)
SEPARABLE = KernelClass(SEPARABLE_CONV2D.words, None)
EXPANDED = KernelClass(EXPANDED_CONV2D.words, None)
_TWO_IN_ONE = {SEPARABLE_CONV2D.name: SEPARABLE, EXPANDED_CONV2D.name: EXPANDED}
CLASSES = (LARGE, SMALL, LINES, VOLUMES, TRANSPOSED, WINOGRAD, DEPTHWISE, OTHER_WINOGRAD, VECTOR, SEPARABLE, EXPANDED)


@dataclass(frozen=True, slots=True)
class Kernel:
    """A distinct kernel of a network with its time inside the running model.

    Attributes:
        network, threads: the network and thread count.
        layer: the first layer of the source model that it computes.
        shape: its operands' shapes, as text.
        kind: name of its `KernelClass`.
        algorithm: its algorithm.
        calls: number of calls in one inference.
        seconds: time of one call.
        share: share of the peak or of the roofline; see `KernelClass`.
        limit: the share that it must reach; None for no limit.
        memory_bound: whether moving its operands once, from where they fit, takes longer than computing at the peak.
    """

    network: str
    threads: int
    layer: str
    shape: str
    kind: str
    algorithm: str
    calls: int
    seconds: float
    share: float
    limit: float | None
    memory_bound: bool = False

    @property
    def misses(self) -> bool:
        """Whether it is below its limit."""
        return self.limit is not None and self.share < self.limit

    @property
    def lost_s(self) -> float:
        """The time that one inference would save if the kernel just reached its limit."""
        return self.calls * self.seconds * (1.0 - self.share / self.limit) if self.limit and self.misses else 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object with these fields."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scaling:
    """The gain of two threads over one.

    Attributes:
        network: the network's name.
        whole_s: seconds of a whole inference, by the number of threads.
    """

    network: str
    whole_s: Mapping[int, float]

    @property
    def speedup(self) -> float | None:
        """One thread's time over two threads'; None when one of them was not measured."""
        return self.whole_s[1] / self.whole_s[2] if {1, 2} <= set(self.whole_s) else None

    @property
    def limit(self) -> float | None:
        """The speed-up to reach; None for no limit."""
        return SCALING_LIMIT if self.network == SCALED_NETWORK else None

    def to_json(self) -> dict[str, Any]:
        """A JSON object: the network, seconds by threads, and the speed-up."""
        return {"network": self.network, "whole_s": dict(self.whole_s), "speedup": self.speedup}


def classes_of(workload: Workload, algorithm: str, flops: int, threads: int) -> tuple[KernelClass, ...]:
    """The classes that a kernel belongs to; empty for kernels outside every class.

    Args:
        workload: the workload that it computes.
        algorithm: its algorithm, as named by `schedules.registry.algorithm_of`.
        flops: floating-point operations by the operator's definition.
        threads: number of threads.
    """
    found, operator = [], operator_of(workload.op)
    if workload.op in _TWO_IN_ONE:
        return (_TWO_IN_ONE[workload.op],)
    if operator is DEPTHWISE_CONV2D:
        found = [DEPTHWISE] if workload.inputs[1].shape[2:] == (3, 3) else []
    elif operator in (CONV3D, TRANSPOSED_CONV2D):
        found = [VOLUMES if operator is CONV3D else TRANSPOSED] if flops >= LARGE_FLOPS else []
    elif operator is CONV2D and _over_line(workload):
        found = [LINES] if flops >= LARGE_FLOPS else []
    elif operator is CONV2D:
        if _is_winograds(workload):
            found = [WINOGRAD]
        elif algorithm == "winograd":
            found = [OTHER_WINOGRAD]
        if algorithm != "winograd" and flops >= LARGE_FLOPS:
            found.append(SMALL if math.prod(workload.output.shape[2:]) <= SMALL_PIXELS else LARGE)
    elif operator is DENSE and flops >= LARGE_FLOPS:
        # One row reads every weight for one multiply-add, so it cannot approach the peak.
        found = [VECTOR if workload.output.shape[-2] == 1 else LARGE]
    return tuple(kind for kind in found if threads == 1 or not kind.single_thread)


def describe(workload: Workload) -> str:
    """``1×64×56×56, 64×64×3×3 → 1×64×56×56``, and the stride where it is not 1."""
    shapes = ["×".join(map(str, tensor.shape)) for tensor in (*workload.inputs[:2], workload.output)]
    strides = dict(workload.attrs).get("strides", (1, 1))
    assert isinstance(strides, tuple)
    stride = "" if strides == (1, 1) else f", stride {'×'.join(map(str, dict.fromkeys(strides)))}"
    return f"{shapes[0]}, {shapes[1]} → {shapes[2]}{stride}"


def _over_line(workload: Workload) -> bool:
    """Whether a convolution is over one row of more than one pixel."""
    return workload.inputs[0].shape[2] == 1 < workload.output.shape[3]


def _is_winograds(workload: Workload) -> bool:
    """Whether a convolution is of the kind on which Winograd's algorithm must win."""
    same = workload.attr("strides") == workload.attr("dilations") == (1, 1) and workload.attr("groups") == 1
    rows, columns = workload.output.shape[2:]
    return same and workload.inputs[1].shape[2:] == (3, 3) and rows == columns and rows in WINOGRAD_SIDES
