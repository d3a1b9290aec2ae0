"""A layer that TVM's importer lowered on its own: its kernels, and the piece of a program that calls them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tvmopt.pipeline.compiler.kernels.kernel_object import KernelObject, join, split
from tvmopt.pipeline.compiler.program import Call, Program, View, made


@dataclass(frozen=True, slots=True)
class LayerPart:
    """A lowered layer.

    Attributes:
        kernels: its kernels, in the order in which they first run.
        program: its calls; None where it needs more than our runtime offers, so that TVM's virtual machine has to run
            the model.
    """

    kernels: tuple[KernelObject, ...]
    program: Program | None

    def to_bytes(self) -> bytes:
        """The part as one block; `from_bytes` reads it back."""
        if self.program is None:
            return join({"program": None}, b"")
        constants = [(number, made(array)) for number, array in self.program.constants.items()]
        facts = {
            "kernels": [kernel.facts() for kernel in self.kernels],
            "program": {
                "calls": [asdict(call) for call in self.program.calls],
                "places": self.program.places,
                "inputs": _listed(self.program.inputs),
                "outputs": _listed(self.program.outputs),
                "constants": [[number, list(array.shape), str(array.dtype)] for number, array in constants],
            },
        }
        arrays = [np.asarray(array, order="C").tobytes() for _, array in constants]
        return join(facts, b"".join([*(kernel.content for kernel in self.kernels), *arrays]))

    @staticmethod
    def from_bytes(block: bytes) -> LayerPart:
        """The inverse of `to_bytes`."""
        facts, content = split(block)
        if facts["program"] is None:
            return LayerPart((), None)
        kernels, end = [], 0
        for kernel in facts["kernels"]:
            kernels.append(KernelObject.of(kernel, content[end : end + kernel["nbytes"]]))
            end += kernel["nbytes"]
        said = facts["program"]
        constants = {}
        for number, shape, dtype in said["constants"]:
            count = int(np.prod(shape, dtype=np.int64))
            constants[number] = np.frombuffer(content, dtype, count, end).reshape(shape)
            end += constants[number].nbytes
        calls = tuple(Call(call["kernel"], _views(call["arguments"]), call["tasks"]) for call in said["calls"])
        places = tuple(said["places"])
        program = Program(calls, places, _views(said["inputs"]), _views(said["outputs"]), constants)
        return LayerPart(tuple(kernels), program)


def _listed(views: Iterable[View]) -> list[dict[str, Any]]:
    return [asdict(view) for view in views]


def _views(listed: Iterable[Mapping[str, Any]]) -> tuple[View, ...]:
    return tuple(View(view["buffer"], view["offset"], tuple(view["shape"]), view["dtype"]) for view in listed)
