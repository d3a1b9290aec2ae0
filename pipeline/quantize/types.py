"""The types that the modules of this package pass to each other and to callers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

QUANTIZED = ""
"""The reason for float of layers that are quantised."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The error of values against those that they stand for, as energies: sums of squares over all elements.

    Attributes:
        signal: the energy of the right values.
        noise: that of the differences.
    """

    signal: float
    noise: float

    @property
    def decibels(self) -> float:
        """The signal-to-noise ratio in dB; infinite where nothing differs."""
        if self.noise == 0.0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


@dataclass(frozen=True, slots=True)
class LayerReport:
    """A layer with weights, or another product of matrices.

    Attributes:
        layer: its name in the user's model.
        operator: ONNX's.
        in_float: why it stays in float; `QUANTIZED` where it does not.
        alone: the error of its result when its inputs are those of the original; None where it is in float.
        whole: the error of its result in the quantised model, with the errors of all layers before it.
    """

    layer: str
    operator: str
    in_float: str = QUANTIZED
    alone: Noise | None = None
    whole: Noise | None = None

    @property
    def is_quantized(self) -> bool:
        """Whether it computes with integers."""
        return self.in_float == QUANTIZED

    def to_json(self) -> dict[str, Any]:
        """A JSON object; a ratio that is infinite is null."""
        ratios = {"sqnr_alone_db": self.alone, "sqnr_db": self.whole}
        entry: dict[str, Any] = {"layer": self.layer, "operator": self.operator}
        entry["quantized"] = self.is_quantized
        if not self.is_quantized:
            entry["in_float"] = self.in_float
        return entry | {name: None if noise is None else finite(noise.decibels) for name, noise in ratios.items()}


def finite(number: float) -> float | None:
    """`number`, or None where it is infinite or NaN, which JSON does not have."""
    return number if math.isfinite(number) else None
