"""Checks a compiled model on its golden inputs: before it is written, if this machine can run it, and later."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tvmopt.pipeline.artifact.format import ArtifactParts
from tvmopt.pipeline.artifact.loaded import LoadedArtifact
from tvmopt.pipeline.artifact.native_library import ALIGNMENT, reserve
from tvmopt.pipeline.errors import RuntimeMissingError, WrongResultError
from tvmopt.pipeline.support.numeric_error import NumericError, numeric_error
from tvmopt.pipeline.support.tolerances import BEHIND_INTEGERS, COMPILED, stated, within

_THREADS = "TVM_NUM_THREADS"


@dataclass(frozen=True, slots=True)
class GoldenOutput:
    """An output for the golden inputs against the golden one; its text says how they differ.

    Attributes:
        name: the output's.
        error: of what the artifact computed.
        allowed: the largest relative error that counts as right.
    """

    name: str
    error: NumericError
    allowed: float

    @property
    def right(self) -> bool:
        """Whether the error is within the tolerance."""
        return within(self.error, self.allowed)

    def __str__(self) -> str:
        return stated(self.error, self.allowed)


def golden_outputs(artifact: LoadedArtifact) -> Iterator[GoldenOutput]:
    """Each output for the golden inputs of every size against the golden one, by `tolerances.COMPILED`.

    For a model that quantises, by `tolerances.BEHIND_INTEGERS`. The size that is selected afterwards is the first.
    """
    behind_integers = bool(artifact.manifest.get("quantizes"))
    for size in reversed(range(artifact.sizes)):
        artifact.select(size)
        results = artifact.run(artifact.golden_inputs)
        for name, expected in artifact.golden_outputs.items():
            small = expected.dtype.kind == "f" or expected.dtype.itemsize == 1
            allowed = max(COMPILED.of(expected.dtype), BEHIND_INTEGERS if behind_integers and small else 0.0)
            yield GoldenOutput(name, numeric_error(expected, results[name]), allowed)


def check_golden(parts: ArtifactParts, path: Path) -> None:
    """Compares the outputs for the golden inputs with the golden ones, in every size.

    Args:
        parts: the artifact's.
        path: where it is to be written.

    Raises:
        WrongResultError: an output differs by more than `tolerances.COMPILED`; names it.
    """
    if parts.manifest["target"]["isa"] == "cuda":
        return
    weights = parts.weights
    if weights is not None and weights.ctypes.data % ALIGNMENT:  # the library reads them from a cache line's beginning
        weights = reserve(weights.nbytes)
        weights[:] = parts.weights
    threads = os.environ.get(_THREADS)
    try:
        artifact = LoadedArtifact(path, replace(parts, weights=weights))
    except RuntimeMissingError:
        return  # it is for another machine
    finally:
        if threads is None:  # loading sets it, for this artifact alone
            os.environ.pop(_THREADS, None)
    for output in golden_outputs(artifact):
        if not output.right:
            raise WrongResultError(
                f"output {output.name!r} of the compiled model differs from onnxruntime's: {output}; so {path} was not "
                "written: `tvmopt verify` finds the layer"
            )
