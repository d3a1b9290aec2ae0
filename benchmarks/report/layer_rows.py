"""The rows of a layer table: layers that some runtime fuses share a row, with ours, the best peer and the roofline."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerGroup, group_layers
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.verdicts import OURS
from tvmopt.benchmarks.runtimes.registry import known_runtime
from tvmopt.pipeline.inspection.costs import LayerCost
from tvmopt.pipeline.types import TensorSpec


@dataclass(frozen=True, slots=True)
class LayerRow:
    """Layers that some runtime computes in one kernel, with their costs and times.

    Attributes:
        layers: names, in the model's order.
        operator: the operator of the layer with most operations.
        precision: that of its operands (`LayerCost.precision`).
        operands: that layer's first two inputs: data, and weights if it has any.
        outputs: the outputs of the last layer.
        flops: floating point operations of all of them.
        integer_ops: operations on integers.
        parameters: number of learnt parameters.
        nbytes: minimum bytes read and written if the layers were computed as one, without values between them.
        attainable_s: the measured roofline's minimum time; None without a roofline.
        seconds: the time of each profiled runtime.
        ours: the name of our runtime; empty if it was not profiled.
        peer: the fastest other runtime in the same precision; empty if there is none.
        kernels: our kernels, in the order of execution.
    """

    layers: tuple[str, ...]
    operator: str
    precision: str
    operands: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    flops: int
    integer_ops: int
    parameters: int
    nbytes: int
    attainable_s: float | None
    seconds: Mapping[str, float]
    ours: str
    peer: str
    kernels: tuple[KernelTime, ...]

    @property
    def operations(self) -> int:
        """Operations of either kind."""
        return self.flops + self.integer_ops

    @property
    def intensity(self) -> float | None:
        """Operations per byte moved; None if no byte is moved."""
        return self.operations / self.nbytes if self.nbytes else None

    @property
    def ours_s(self) -> float | None:
        """Our time; None if ours was not profiled."""
        return self.seconds.get(self.ours)

    @property
    def peer_s(self) -> float | None:
        """The best peer's time; None if there is none."""
        return self.seconds.get(self.peer)

    @property
    def difference_s(self) -> float | None:
        """Our time minus the best peer's: above 0 where we lose."""
        return None if self.ours_s is None or self.peer_s is None else self.ours_s - self.peer_s

    @property
    def ratio(self) -> float | None:
        """Our time over the best peer's: above 1 where we lose; None if the peer takes no time."""
        return None if self.ours_s is None or not self.peer_s else self.ours_s / self.peer_s

    @property
    def roofline_share(self) -> float | None:
        """The roofline's minimum time over ours; above 1 where an algorithm saves operations."""
        return None if self.attainable_s is None or not self.ours_s else self.attainable_s / self.ours_s

    @property
    def over_roofline_s(self) -> float | None:
        """Our time minus the roofline's minimum."""
        return None if self.attainable_s is None or self.ours_s is None else self.ours_s - self.attainable_s


def ours_of(table: LayerTable) -> str:
    """Our first runtime that has a profile; empty when none has one."""
    return next((name for name in OURS if name in table.profiles), "")


def peers_of(table: LayerTable) -> tuple[str, ...]:
    """The profiled runtimes that ours is compared with, including any that this version does not know."""
    return tuple(name for name in table.profiles if (known := known_runtime(name)) is None or known.peer)


def make_rows(table: LayerTable) -> tuple[LayerRow, ...]:
    """The rows of a table, in the order of their first layers."""
    ours, peers, profiles = ours_of(table), peers_of(table), table.profiles
    readers = _readers(table)
    kernels = profiles[ours].kernels if ours else ()
    rows = []
    for group in group_layers(table.order, profiles):
        members = frozenset(group.layers)
        costs = [table.costs[layer] for layer in group.layers if layer in table.costs]
        flops, nbytes = sum(cost.flops for cost in costs), _outer_bytes(costs, readers)
        integer_ops = sum(cost.integer_ops for cost in costs)
        heaviest = max(costs, key=lambda cost: cost.flops + cost.integer_ops, default=None)
        rows.append(
            LayerRow(
                layers=group.layers,
                operator=heaviest.operator if heaviest else "",
                precision=heaviest.precision if heaviest else "",
                operands=_operands(heaviest) if heaviest else (),
                outputs=costs[-1].outputs if costs else (),
                flops=flops,
                integer_ops=integer_ops,
                parameters=sum(cost.parameters for cost in costs),
                nbytes=nbytes,
                attainable_s=table.roofline.attainable_s(flops, nbytes, integer_ops) if table.roofline else None,
                seconds=group.seconds,
                ours=ours,
                peer=_best_peer(group, peers, flops + integer_ops),
                kernels=tuple(kernel for kernel in kernels if members.intersection(kernel.layers)),
            )
        )
    return tuple(rows)


def most_lost_to_peer(rows: Sequence[LayerRow], count: int = 10) -> list[LayerRow]:
    """The rows where ours exceeds the best peer most, worst first; without rows where ours wins."""
    losing = [(row.difference_s, row) for row in rows if row.difference_s is not None and row.difference_s > 0]
    return [row for _, row in sorted(losing, key=lambda pair: -pair[0])[:count]]


def most_lost_to_roofline(rows: Sequence[LayerRow], count: int = 10) -> list[LayerRow]:
    """The rows where ours exceeds the roofline's minimum most, worst first; without rows that beat it."""
    losing = [(row.over_roofline_s, row) for row in rows if row.over_roofline_s is not None and row.over_roofline_s > 0]
    return [row for _, row in sorted(losing, key=lambda pair: -pair[0])[:count]]


def _operands(cost: LayerCost) -> tuple[TensorSpec, ...]:
    """The first two inputs, without a second one that is a list of axes or sizes."""
    return tuple(spec for number, spec in enumerate(cost.inputs[:2]) if not number or len(spec.shape) > 1)


def _best_peer(group: LayerGroup, peers: Sequence[str], operations: int) -> str:
    """The fastest of `peers`, except a peer without time for layers that must compute: its mapping is incomplete."""
    known = [name for name in peers if group.seconds[name] > 0 or not operations]
    return min(known, key=lambda name: group.seconds[name], default="")


def _readers(table: LayerTable) -> dict[str, list[LayerCost]]:
    """The layers that read each value."""
    readers: dict[str, list[LayerCost]] = {}
    for cost in table.costs.values():
        for spec in cost.inputs:
            readers.setdefault(spec.name, []).append(cost)
    return readers


def _outer_bytes(costs: Sequence[LayerCost], readers: Mapping[str, Sequence[LayerCost]]) -> int:
    """Bytes that the layers read and write together if values used only between them stay in the processor."""
    members = {cost.layer for cost in costs}
    made: set[str] = set()
    total = 0
    for cost in costs:
        inner_reads = sum(_size(spec) for spec in cost.inputs if spec.name in made)
        if not _is_view(cost) or inner_reads:
            made.update(spec.name for spec in cost.outputs)
        inner_writes = sum(_size(spec) for spec in cost.outputs if _stays(spec.name, members, readers))
        total += max(0, cost.read_bytes - inner_reads) + max(0, cost.written_bytes - inner_writes)
    return total


def _stays(value: str, members: set[str], readers: Mapping[str, Sequence[LayerCost]]) -> bool:
    """Whether only `members` read a value; a value without readers is an output of the model."""
    pending, known = [value], set[str]()
    while pending:
        name = pending.pop()
        if name in known:
            continue
        known.add(name)
        seen = readers.get(name, ())
        if not seen or any(reader.layer not in members for reader in seen):
            return False
        pending += [spec.name for reader in seen if _is_view(reader) for spec in reader.outputs]
    return True


def _is_view(cost: LayerCost) -> bool:
    """Whether a layer returns the same bytes with another shape."""
    return not cost.read_bytes and not cost.written_bytes


def _size(spec: TensorSpec) -> int:
    """Bytes of a tensor, whose dtype's name ends with its bits."""
    bits = re.search(r"\d{1,3}$", spec.dtype)
    return math.prod(spec.shape) * max(1, int(bits.group()) // 8 if bits else 1)
