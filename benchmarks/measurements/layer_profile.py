"""Layer-by-layer times of a runtime (KernelTime, LayerProfile), and layers grouped for comparing runtimes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from tvmopt.benchmarks.measurements.json_fields import list_of, non_negative, positive, positive_int, text

BY_OPERATOR = "its profiler does not say which layers its operators compute"
"""Why a runtime has operators, but no times by layer."""


@dataclass(frozen=True, slots=True)
class KernelTime:
    """One kernel of a runtime, in the runtime's terms, and the layers of the source model that it computes.

    Attributes:
        name: the runtime's name for it.
        kind: operator or algorithm, in the runtime's terms (``FusedConv``, ``jit_avx512_FP32``, ``conv2d``).
        detail: further facts, such as the config or the precision; or empty.
        layers: names of the source model's layers; none if it belongs to no layer (a copy, a change of layout).
        seconds: its time in a median run; each profiler documents how it is measured.
    """

    name: str
    kind: str
    detail: str
    layers: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        names = ("name", "kind", "detail", "seconds")
        return {name: getattr(self, name) for name in names} | {"layers": list(self.layers)}

    @staticmethod
    def from_json(data: Any) -> KernelTime:
        """The inverse of `to_json`; raises ValueError that names the field."""
        words = (text(data, "name"), text(data, "kind"), text(data, "detail"))
        layers = tuple(text({"layers": name}, "layers") for name in list_of(data, "layers"))
        return KernelTime(*words, layers, non_negative(data, "seconds"))


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """All calls of one operator in a run.

    Attributes:
        name: the runtime's name for it (``aten::addmm``, ``FusedConv``, ``conv2d direct``).
        calls: how often a run calls it.
        seconds: the time of these calls in a median run, without that of operators inside them.
    """

    name: str
    calls: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @staticmethod
    def from_json(data: Any) -> OperatorTime:
        """The inverse of `to_json`; raises ValueError that names the field."""
        return OperatorTime(text(data, "name"), positive_int(data, "calls"), non_negative(data, "seconds"))


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """The distribution of one runtime's time.

    Attributes:
        kernels: in the order of execution.
        outside_s: time of a run without the profiler that is in no kernel: ingestion, dispatch, allocation, copies,
            waiting. 0 when the kernels take longer under the profiler than a whole run takes without it.
        profiled_s: median of a whole run with the profiler on.
        whole_s: median of a whole run with the profiler off, in the same process and alternating with profiled runs.
        inner: the operators inside the kernels, longest first, where the runtime's kernels call others, and its
            profiler tells them apart; else empty.
    """

    kernels: tuple[KernelTime, ...]
    outside_s: float
    profiled_s: float
    whole_s: float
    inner: tuple[OperatorTime, ...] = ()

    @staticmethod
    def measured(
        kernels: Sequence[KernelTime], profiled_s: float, whole_s: float, inner: Sequence[OperatorTime] = ()
    ) -> LayerProfile:
        """A profile; the time outside kernels is the whole run without the profiler minus the kernels' times."""
        inside_s = sum(kernel.seconds for kernel in kernels)
        return LayerProfile(tuple(kernels), max(0.0, whole_s - inside_s), profiled_s, whole_s, tuple(inner))

    @property
    def operators(self) -> tuple[OperatorTime, ...]:
        """The operators that it runs, longest first: those inside its kernels, else its kernels by their kind."""
        if self.inner:
            return self.inner
        grouped: dict[str, list[float]] = {}
        for kernel in self.kernels:
            grouped.setdefault(kernel.kind or kernel.name, []).append(kernel.seconds)
        return longest_first(OperatorTime(kind, len(times), sum(times)) for kind, times in grouped.items())

    @property
    def kernels_s(self) -> float:
        """Sum of the kernels' times."""
        return sum(kernel.seconds for kernel in self.kernels)

    @property
    def sum_over_whole(self) -> float:
        """The kernels' total time over a run without the profiler: 1 when they account for all of it."""
        return self.kernels_s / self.whole_s

    @property
    def by_layer(self) -> bool:
        """Whether some kernel's layers are known, or there is none; else only operators can be compared."""
        return not self.kernels or any(kernel.layers for kernel in self.kernels)

    @property
    def mapped(self) -> float:
        """The share of the kernels' time in kernels with known layers."""
        return sum(kernel.seconds for kernel in self.kernels if kernel.layers) / (self.kernels_s or 1.0)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        names = ("outside_s", "profiled_s", "whole_s")
        lists = {
            "kernels": [kernel.to_json() for kernel in self.kernels],
            "operators": [operator.to_json() for operator in self.operators],
        }
        return {name: getattr(self, name) for name in names} | lists

    @staticmethod
    def from_json(data: Any) -> LayerProfile:
        """The inverse of `to_json`; raises ValueError that names the field."""
        kernels = tuple(KernelTime.from_json(kernel) for kernel in list_of(data, "kernels"))
        seconds = (non_negative(data, "outside_s"), positive(data, "profiled_s"), positive(data, "whole_s"))
        profile = LayerProfile(kernels, *seconds)
        # Older files have none; those that are only the kernels by kind are not kept twice.
        operators = tuple(map(OperatorTime.from_json, list_of(data, "operators"))) if "operators" in data else ()
        return profile if operators == profile.operators else replace(profile, inner=operators)


def longest_first(operators: Iterable[OperatorTime]) -> tuple[OperatorTime, ...]:
    """The same, in order of their time."""
    return tuple(sorted(operators, key=lambda operator: operator.seconds, reverse=True))


@dataclass(frozen=True, slots=True)
class LayerGroup:
    """Layers that some runtime computes in one kernel, so that no smaller part of the model can be compared.

    Attributes:
        layers: in the model's order; the first names the group.
        seconds: each runtime's time for them, by the runtime's name.
    """

    layers: tuple[str, ...]
    seconds: Mapping[str, float]


def group_layers(order: Sequence[str], profiles: Mapping[str, LayerProfile]) -> tuple[LayerGroup, ...]:
    """The smallest parts of the model that no runtime's kernel crosses, each with its times.

    Args:
        order: names of all layers, in the order they run.
        profiles: by the runtime's name. Kernels without layers, or with names that `order` lacks, are left out.

    Returns:
        Groups in the order of their first layers; groups without any time are left out.
    """
    place = {layer: index for index, layer in enumerate(order)}
    parent = list(range(len(order)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    times: list[tuple[str, int, float]] = []
    for runtime, profile in profiles.items():
        for kernel in profile.kernels:
            known = [place[layer] for layer in kernel.layers if layer in place]
            for index in known[1:]:
                low, high = sorted((root(known[0]), root(index)))
                parent[high] = low
            if known:
                times.append((runtime, known[0], kernel.seconds))
    seconds: dict[int, dict[str, float]] = {}
    for runtime, index, duration in times:
        group = seconds.setdefault(root(index), dict.fromkeys(profiles, 0.0))
        group[runtime] += duration
    members: dict[int, list[str]] = {}
    for index, layer in enumerate(order):
        members.setdefault(root(index), []).append(layer)
    return tuple(LayerGroup(tuple(members[index]), seconds[index]) for index in sorted(seconds))
