"""Whether arrays fit a model: the names, shapes and dtypes of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tvmopt.pipeline.errors import ModelInputError


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
