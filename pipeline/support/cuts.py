"""Outputs whose size is found at run time: a model computes a tensor of the largest size, and how much of it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tvmopt.pipeline.types import Cut

if TYPE_CHECKING:
    import numpy as np


def cuts_in(manifest: Mapping[str, Any]) -> tuple[Cut, ...]:
    """The cuts that an artifact's manifest lists.

    Raises:
        KeyError, TypeError, ValueError: they do not fit the outputs listed there.
    """
    cuts = tuple(map(Cut.from_json, manifest.get("cuts", ())))
    specs = {spec["name"]: spec for spec in manifest["outputs"]}
    for cut in cuts:
        if not 0 <= cut.axis < len(specs[cut.room]["shape"]):
            raise ValueError(f"output {cut.name!r} is cut along axis {cut.axis}")
        if (specs[cut.count]["shape"], specs[cut.count]["dtype"]) != ([1], "int64"):
            raise ValueError(f"the count of output {cut.name!r} is no number")
    return cuts


def listed_results(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Name, shape and dtype of a compiled model's outputs by its manifest; those to be cut in their largest size."""
    cuts = cuts_in(manifest)
    names, counts = {cut.room: cut.name for cut in cuts}, {cut.count for cut in cuts}
    kept = [spec for spec in manifest["outputs"] if spec["name"] not in counts]
    return [{**spec, "name": names.get(spec["name"], spec["name"])} for spec in kept]


def cut_results(computed: Mapping[str, np.ndarray], cuts: Sequence[Cut]) -> dict[str, np.ndarray]:
    """A model's outputs, given the tensors that it computes, both by name."""
    by_room, counts = {cut.room: cut for cut in cuts}, {cut.count for cut in cuts}
    results = {}
    for name, array in computed.items():
        cut = by_room.get(name)
        if cut is not None:
            index = [slice(None)] * array.ndim
            index[cut.axis] = slice(int(computed[cut.count][0]))
            results[cut.name] = array[tuple(index)].copy()
        elif name not in counts:
            results[name] = array
    return results
