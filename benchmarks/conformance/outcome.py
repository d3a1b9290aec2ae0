"""The outcome of a test, and what counts as the same result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Verdict = Literal["pass", "refused", "wrong", "crash", "timeout", "unknown type"]

BAD: tuple[Verdict, ...] = ("wrong", "crash", "timeout")
"""Verdicts that are faults, whatever the model."""

RTOL, ATOL = 1e-3, 1e-5
"""Float results may differ from the expected ones by ``ATOL + RTOL · |expected|``; others must be equal."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one program did in one case.

    Attributes:
        verdict: ``refused`` with an error that is meant for the user, ``crash`` with any other, ``timeout`` when there
            was no answer, ``unknown type`` where numpy has no such type.
        reason: one line; empty for a pass.
    """

    verdict: Verdict
    reason: str = ""

    def to_json(self) -> dict[str, str]:
        """A JSON object that `from_json` reads back."""
        return {"verdict": self.verdict, "reason": self.reason}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Outcome:
        """The inverse of `to_json`."""
        return Outcome(data["verdict"], str(data["reason"]))


def differences(expected: Mapping[str, Array], got: Mapping[str, Array]) -> str:
    """How `got` differs from `expected`: the first output that does; empty when none does."""
    for name, wanted in expected.items():
        made = got[name]
        have, want = (f"{array.dtype}{list(array.shape)}" for array in (made, wanted))
        if have != want:
            return f"output {name!r} is {have}, expected {want}"
        floats = wanted.dtype.kind == "f"
        with np.errstate(invalid="ignore"):
            same = np.isclose(made, wanted, RTOL, ATOL, equal_nan=True) if floats else made == wanted
        if not np.all(same):
            place = tuple(int(i) for i in np.argwhere(~np.atleast_1d(same))[0][: wanted.ndim])
            count = int(np.sum(~np.asarray(same)))
            return (
                f"output {name!r}: {count} of {wanted.size} differ; at {list(place)} it is {made[place]:.5g}, "
                f"expected {wanted[place]:.5g}"
            )
    return ""
