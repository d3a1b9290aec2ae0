"""The theoretical cost of every layer and its time in every runtime: LayerTable, frozen, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.json_fields import (
    list_of,
    mapping_of,
    non_negative,
    optional,
    positive,
    positive_int,
    text,
)
from tvmopt.benchmarks.measurements.layer_profile import LayerProfile
from tvmopt.pipeline.inspection.costs import LayerCost
from tvmopt.pipeline.types import TensorSpec

_LARGEST = 2**63
_COUNTS = ("flops", "integer_ops", "parameters", "read_bytes", "written_bytes")


@dataclass(frozen=True, slots=True)
class NoProfile:
    """Why there is no profile of a runtime.

    Attributes:
        status: ``unavailable`` when it has no profiler or lacks something, ``failed`` when profiling went wrong.
        message: one line.
    """

    status: str
    message: str

    def to_json(self) -> dict[str, str]:
        """A JSON object that `from_json` reads back."""
        return asdict(self)

    @staticmethod
    def from_json(data: Any) -> NoProfile:
        """The inverse of `to_json`; raises ValueError that names the field."""
        return NoProfile(text(data, "status"), text(data, "message"))


@dataclass(frozen=True, slots=True)
class LayerTable:
    """One model at one batch size and thread count, layer by layer.

    Attributes:
        batch: the batch size profiled.
        threads: the thread count profiled.
        order: the source model's layer names, in the order they run.
        costs: by layer.
        roofline: the machine's roofline at that thread count; None if not measured.
        entries: each runtime's profile, or the reason why it has none.
    """

    batch: int
    threads: int
    order: tuple[str, ...]
    costs: Mapping[str, LayerCost]
    roofline: Roofline | None
    entries: Mapping[str, LayerProfile | NoProfile]

    def __post_init__(self) -> None:
        if len(set(self.order)) != len(self.order):
            twice = next(layer for layer in self.order if self.order.count(layer) > 1)
            raise ValueError(f"order must name every layer once, got {twice[:40]!r} again")

    @property
    def profiles(self) -> dict[str, LayerProfile]:
        """The runtimes with a profile by layer."""
        return {name: profile for name, profile in self.all_profiles.items() if profile.by_layer}

    @property
    def all_profiles(self) -> dict[str, LayerProfile]:
        """The runtimes with a profile, be it by layer or only by operator."""
        return {name: entry for name, entry in self.entries.items() if isinstance(entry, LayerProfile)}

    @property
    def absent(self) -> dict[str, NoProfile]:
        """The runtimes without a profile."""
        return {name: entry for name, entry in self.entries.items() if isinstance(entry, NoProfile)}

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back."""
        return {
            "batch": self.batch,
            "threads": self.threads,
            "order": list(self.order),
            "costs": {layer: cost.to_json() for layer, cost in self.costs.items()},
            "roofline": self.roofline.to_json() if self.roofline else None,
            "profiles": {name: entry.to_json() for name, entry in self.entries.items()},
        }

    @staticmethod
    def from_json(data: Any) -> LayerTable:
        """The inverse of `to_json`; raises ValueError that names the field."""
        costs, entries = mapping_of(data, "costs"), mapping_of(data, "profiles")
        roofline = optional(data, "roofline", mapping_of)
        return LayerTable(
            positive_int(data, "batch"),
            positive_int(data, "threads"),
            tuple(text({"order": name}, "order") for name in list_of(data, "order")),
            {layer: _cost(_inside(costs, "costs", layer), layer) for layer in costs},
            None if roofline is None else _roofline(roofline),
            {name: _entry(_inside(entries, "profiles", name), name) for name in entries},
        )


def _cost(data: Any, layer: str) -> LayerCost:
    try:
        if text(data, "layer") != layer:
            raise ValueError(f"layer must match its key, got {data['layer'][:40]!r}")
        return LayerCost(
            layer=layer,
            operator=text(data, "operator"),
            inputs=tuple(_spec(spec) for spec in list_of(data, "inputs")),
            outputs=tuple(_spec(spec) for spec in list_of(data, "outputs")),
            **{name: _count(data, name) for name in _COUNTS},
        )
    except ValueError as error:
        raise ValueError(f"costs[{layer[:40]!r}]: {error}") from None


def _entry(data: Mapping[str, Any], runtime: str) -> LayerProfile | NoProfile:
    try:
        return LayerProfile.from_json(data) if "kernels" in data else NoProfile.from_json(data)
    except ValueError as error:
        raise ValueError(f"profiles[{runtime[:40]!r}]: {error}") from None


def _roofline(data: Mapping[str, Any]) -> Roofline:
    levels = []
    for level in list_of(data, "bandwidth"):
        if not isinstance(level, list) or len(level) != 2:
            raise ValueError("bandwidth must be pairs of bytes and bytes a second")
        size, rate = level
        levels.append((positive_int({"bandwidth": size}, "bandwidth"), positive({"bandwidth": rate}, "bandwidth")))
    peak_iops = optional(data, "peak_iops", positive)
    return Roofline(positive_int(data, "threads"), positive(data, "peak_flops"), tuple(levels), peak_iops)


def _spec(data: Any) -> TensorSpec:
    shape = tuple(_count({"shape": size}, "shape") for size in list_of(data, "shape"))
    return TensorSpec(text(data, "name"), shape, text(data, "dtype"))


def _count(data: Any, name: str) -> int:
    """A whole number that is not below zero."""
    value = non_negative(data, name)
    if value >= _LARGEST or not value.is_integer():
        raise ValueError(f"{name} must be a whole number below 2^63, got {value:g}")
    return int(data[name])


def _inside(mapping: Mapping[str, Any], field: str, name: str) -> Mapping[str, Any]:
    """The object at key `name`."""
    value = mapping[name]
    if not isinstance(value, dict):
        raise ValueError(f"{field}[{name[:40]!r}] must be an object")
    return value
