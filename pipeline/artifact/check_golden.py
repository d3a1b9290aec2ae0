"""Checks a compiled model on its golden inputs before it is written, if this machine can run it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from tvmopt.pipeline.artifact.format import ArtifactParts
from tvmopt.pipeline.artifact.loaded import LoadedArtifact
from tvmopt.pipeline.artifact.native_library import ALIGNMENT, reserve
from tvmopt.pipeline.errors import RuntimeMissingError, WrongResultError
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.tolerances import COMPILED

_THREADS = "TVM_NUM_THREADS"


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
    for size in range(artifact.sizes):
        artifact.select(size)
        results = artifact.run(artifact.golden_inputs)
        for name, expected in artifact.golden_outputs.items():
            error = numeric_error(expected, results[name])
            if not COMPILED.allows(error, expected.dtype):
                raise WrongResultError(
                    f"output {name!r} of the compiled model differs from onnxruntime's by {error.relative:.2g} of its "
                    f"largest value; at most {COMPILED.of(expected.dtype):g} is allowed, so {path} was not written: "
                    "`tvmopt verify` finds the layer"
                )
