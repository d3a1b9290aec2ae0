"""Whether arrays fit a model: the names, shapes and dtypes of its inputs; and how its outputs are cut to their size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tvmopt.pipeline.errors import ModelInputError
from tvmopt.pipeline.types import Cut


def check_arrays(inputs: object) -> None:
    """Checks that `inputs` are numpy's arrays by name.

    Raises:
        ModelInputError: says what they are.
    """
    if not isinstance(inputs, Mapping):
        raise ModelInputError(f"inputs must be arrays by name, such as {{'x': array}}; got {_kind(inputs)}")
    for name, array in inputs.items():
        if not isinstance(array, np.ndarray):
            raise ModelInputError(f"inputs must be arrays of numpy; {name!r} is {_kind(array)}")


def _kind(value: object) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def check_inputs(inputs: Mapping[str, np.ndarray], specs: Sequence[Mapping[str, Any]]) -> None:
    """Checks names, shapes and dtypes of `inputs` against the model's.

    Raises:
        ModelInputError: names the first input that does not fit, what it is and what it should be.
    """
    reason = mismatch(inputs, specs)
    if reason:
        raise ModelInputError(f"inputs do not fit the model: {reason}")


def mismatch(arrays: Mapping[str, np.ndarray], specs: Sequence[Mapping[str, Any]]) -> str:
    """How `arrays` differ from the names, shapes and dtypes in `specs`; empty when they do not."""
    wanted = [str(spec["name"]) for spec in specs]
    missing = [name for name in wanted if name not in arrays]
    unknown = sorted(set(arrays) - set(wanted))
    if missing or unknown:
        parts = [f"missing {', '.join(map(repr, missing))}"] if missing else []
        parts += [f"unknown {', '.join(map(repr, unknown))}"] if unknown else []
        return f"{', '.join(parts)} (the model has {', '.join(map(repr, wanted))})"
    for spec in specs:
        array = arrays[spec["name"]]
        if list(array.shape) != list(spec["shape"]):
            return f"{spec['name']!r} has shape {_text(array.shape)}, the model's is {_text(spec['shape'])}"
        if str(array.dtype) != spec["dtype"]:
            return f"{spec['name']!r} has dtype {array.dtype}, the model's is {spec['dtype']}"
    return ""


def _text(shape: Sequence[int]) -> str:
    return ",".join(map(str, shape)) or "scalar"


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
    rooms, counts = {cut.room for cut in cuts}, {cut.count for cut in cuts}
    if len(rooms) < len(cuts) or rooms & counts:
        raise ValueError("an output is cut twice, or is a count itself")
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
