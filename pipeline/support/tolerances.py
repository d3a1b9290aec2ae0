"""How large an error may be: every tolerance of the project, and why it has its value.

Each limits `numeric_error.NumericError.relative`, the largest difference over the largest magnitude of the reference.
For scale: one rounding of a float32 is an error of 6e-8, one of a float16 of 5e-4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from tvmopt.pipeline.support.numeric_error import NumericError

ROUNDING = 2.0**-22
"""The absolute error that is allowed whatever the magnitude of a result: four roundings of numbers between 0.5 and 1.

Functions with values up to 1 may be exact to that only, such as onnxruntime's sigmoid, which is off by 1.8e-7 where the
value is 4e-8. It hides errors of results that are all smaller; layers before them are still compared on their own."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The largest relative error allowed in a kind of check.

    Attributes:
        float16: for float16 results.
        float32: for float32 and float64 results.
        int8: for 8-bit integers, which quantising makes.
    """

    float16: float
    float32: float
    int8: float = 0.0

    def allows(self, error: NumericError, dtype: np.dtype[Any]) -> bool:
        """Whether `error` is within the tolerance, or no more than `ROUNDING` of floats."""
        return within(error, self.of(dtype))

    def of(self, dtype: np.dtype[Any]) -> float:
        """The error allowed for results of `dtype`: none for booleans, strings and larger integers, which are equal."""
        floats = {"float16": self.float16, "float32": self.float32, "float64": self.float32}
        return {**floats, "int8": self.int8, "uint8": self.int8}.get(dtype.name, 0.0)


def within(error: NumericError, allowed: float) -> bool:
    """Whether `error` is at most `allowed`, relatively, or at most `ROUNDING`; no integers differ by so little."""
    return error.relative <= allowed or only_rounding(error, allowed)


def only_steps(reference: np.ndarray, computed: np.ndarray, allowed: float) -> bool:
    """Whether all that differs by more than `allowed`, relatively, are a few quantised elements a step off."""
    import numpy as np

    if reference.shape != computed.shape or reference.dtype != computed.dtype or not reference.size:
        return False
    wanted = reference.astype(np.float64)
    largest, off = np.abs(wanted).max(), np.abs(computed.astype(np.float64) - wanted)
    count = int(np.count_nonzero(~(off <= allowed * largest)))
    most = STEPS if reference.dtype.kind in "iu" else STEP * largest
    return bool((off <= most).all()) and count <= max(FEW_STEPS, STEP_SHARE * reference.size)


def only_rounding(error: NumericError, allowed: float) -> bool:
    """Whether `error` is above `allowed`, relatively, and yet so small that it counts as rounding."""
    return error.relative > allowed and error.max_abs <= ROUNDING


def stated(error: NumericError, allowed: float) -> str:
    """`error` in words, with what is allowed of it: for one within the tolerance as for another."""
    from tvmopt.pipeline.support.numeric_error import INCOMPARABLE  # here, since `tvmopt --help` does without numpy

    if error == INCOMPARABLE:
        return "another shape or dtype, or a NaN or infinity that only one of the two has"
    if only_rounding(error, allowed):
        values = error.max_abs / error.relative
        return f"a difference of {error.max_abs:.2g} at values up to {values:.2g}, no more than rounding"
    return f"relative error {error.relative:.2g}, allowed {allowed:g}"


REWRITTEN = Tolerance(float16=1e-2, float32=1e-4)
"""A model in its ONNX form against the form it came from (PyTorch, before normalising, another batch). Operators and
weights are the same; only the order of additions and the constants folded in advance differ."""

KERNEL = Tolerance(float16=1e-2, float32=1e-4)
"""One kernel on random inputs: a candidate of the tuner against numpy, a layer that TVM lowers against onnxruntime. The
least exact correct kernels are Winograd's with 6×6 tiles: 2.8e-5 with 512 channels. There, leaving out one weight of
one output channel gives an error of 5e-3, leaving out a tap of the window 0.3."""

COMPILED = Tolerance(float16=1e-1, float32=1e-3, int8=2.0**-6)
"""A whole model, or its values after any number of layers, against another implementation: golden outputs, before
`tvmopt compile` writes them and in `tvmopt run --check`; `tvmopt verify`; builds that the tuner times again; FP32
runtimes in `tvmopt compare`. Rounding grows from layer to layer, in ResNet-50 from 1.2e-5 for a layer alone to 8.7e-5;
ten times the tolerance of one kernel leaves room for deep models, and a wrong kernel still exceeds it. A quantised
value beside the border between two steps goes either way with the order of additions: two steps of 128 are allowed."""

BEHIND_INTEGERS = 0.3
"""An output of a quantised model, or any that follows from integers of 8 bits, against another implementation. Where a
value beside the border between two steps goes the other way, later layers make more of it: three steps of 128 in a
ResNet-8 of the field; with random weights two correct ways to run ResNet-50 differ by 0.04 to 0.14. What shows a fault
there is a layer recomputed from its own inputs, in which only `STEP_SHARE` of the elements may be a `STEP` off."""

STEP = 2.0**-6
"""The largest relative error of a quantised element that is one step off, or two where a layer rounds twice."""

STEPS = 2
"""As much may an integer differ that is a step off, or two where a layer rounds twice."""

STEP_SHARE = 1e-4
"""The share of the elements of a layer, alone, that may be a step off: ties that another order of rounding decides."""

FEW_STEPS = 6
"""As many elements may be a step off in any layer: in one of ten thousand elements, chance makes several of one."""

ALONE = 0.1
"""The share of `COMPILED`, or of the user's own tolerance, that a layer may use up when its inputs carry no error; it
equals what `KERNEL` allows for one kernel."""

EXAMPLES = Tolerance(float16=1e-2, float32=1e-4)
"""Outputs of the example networks in the benchmark suite, and of small networks in the project's own tests. Stricter
than `COMPILED`, which must suit every model: errors of many elements average out towards the outputs, where these
networks' are a few 1e-6. A float16 output has at least its own rounding."""

TEST = 2e-5
"""Kernels and graph passes in the project's own tests: small shapes make short sums and little rounding."""
