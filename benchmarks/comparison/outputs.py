"""How far a runtime's outputs are from the reference's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tvmopt.benchmarks.measurements.types import OutputError


def compare_outputs(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> OutputError:
    """The worst difference over all outputs.

    Args:
        outputs: what the runtime gave, in the model's order.
        reference: what it should have given: same count, same shapes.

    Raises:
        ValueError: with one line, when counts or shapes differ or a value is not finite where the reference's is.
    """
    if len(outputs) != len(reference):
        raise ValueError(f"gave {len(outputs)} outputs, the reference {len(reference)}")
    errors = [_difference(index, *pair) for index, pair in enumerate(zip(outputs, reference, strict=True))]
    return OutputError(
        max_abs=max(error.max_abs for error in errors),
        relative=max(error.relative for error in errors),
        cosine=min(error.cosine for error in errors),
    )


def _difference(index: int, output: np.ndarray, reference: np.ndarray) -> OutputError:
    if output.shape != reference.shape:
        raise ValueError(f"output {index} has shape {output.shape}, the reference {reference.shape}")
    got, wanted = output.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    finite = np.isfinite(wanted)
    if not np.array_equal(got[~finite], wanted[~finite], equal_nan=True) or not np.isfinite(got[finite]).all():
        raise ValueError(f"output {index} has infinite or undefined values that the reference has not")
    got, wanted = got[finite], wanted[finite]
    if not got.size:
        return OutputError(0.0, 0.0, 1.0)
    difference = float(np.linalg.norm(got - wanted))
    size, length = float(np.linalg.norm(wanted)), float(np.linalg.norm(got))
    # An all-zero reference has no direction and no scale: then the difference itself is the error.
    relative = difference / size if size else difference
    cosine = float(np.clip(got @ wanted / (size * length), -1.0, 1.0)) if size and length else float(size == length)
    return OutputError(float(np.abs(got - wanted).max()), relative, cosine)
