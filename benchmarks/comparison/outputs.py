"""The error of a runtime's outputs against the reference's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tvmopt.pipeline.support.numeric_error import INCOMPARABLE, NumericError, as_one_dtype, numeric_error


def output_errors(reference: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> tuple[NumericError, ...]:
    """The error of each output.

    Args:
        reference: the expected outputs.
        outputs: the runtime's outputs, in the model's order: same count and shapes; dtypes may differ.

    Raises:
        ValueError: with a one-line message, when counts or shapes differ or only the reference's value is finite.
    """
    if len(outputs) != len(reference):
        raise ValueError(f"gave {len(outputs)} outputs, the reference {len(reference)}")
    return tuple(_error(index, *pair) for index, pair in enumerate(zip(reference, outputs, strict=True)))


def worst_error(errors: Sequence[NumericError]) -> NumericError:
    """The worst of several errors, each of its measures on its own."""
    return NumericError(
        max_abs=max(error.max_abs for error in errors),
        relative=max(error.relative for error in errors),
        cosine=min(error.cosine for error in errors),
    )


def _error(index: int, reference: np.ndarray, output: np.ndarray) -> NumericError:
    if output.shape != reference.shape:
        raise ValueError(f"output {index} has shape {output.shape}, the reference {reference.shape}")
    error = numeric_error(*as_one_dtype(reference, output))
    if error == INCOMPARABLE:
        raise ValueError(f"output {index} has infinite or undefined values that the reference does not have")
    return error
