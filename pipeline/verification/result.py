"""The result of comparing a compiled model with its source, value by value.

Versions of the schema ``tvmopt-verification``:

1. ``manifest`` (of the artifact), ``inputs``, ``tolerance``, ``passed``, ``first_wrong``, ``values[]`` (``value,
   kernel, operator, tolerance, wrong, at_fault, layers[], unchecked[], errors`` by reference and ``alone``, both of
   ``{max_abs, relative, cosine}``), ``outputs[]`` (the same), ``not_compared[]``, ``layers``, ``layers_covered``,
   ``notes[]``. ``relative`` is the L2 norm of the difference over that of the reference, ``cosine`` 1 less the cosine:
   0 for the same direction. An infinite error is null.

2. ``relative`` is the largest absolute difference over the largest magnitude of the reference, and ``cosine`` the
   cosine itself, 1 for the same direction, as in measurement files; see `pipeline.support.numeric_error`. Only
   ``max_abs`` and ``relative`` can be infinite, and then are null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tvmopt.pipeline.support.numeric_error import NumericError
from tvmopt.pipeline.support.tolerances import ALONE, only_rounding, within
from tvmopt.pipeline.verification.kernel_values import Uncompared

ONNXRUNTIME = "onnxruntime"

VERSION = 2
"""Version of the JSON that `Verification.to_json` writes."""


@dataclass(frozen=True, slots=True)
class ValueCheck:
    """One value of the compiled model against its references.

    Attributes:
        value: its name in the ONNX model.
        kernel, operator: the kernel that made it and its operator family; empty for a model's output.
        layers: names of the source model's layers that the kernel stands for; for an output, the layer that makes it.
        unchecked: further layers between this value and the values compared before it: their kernels' results could
            not be compared, so an error may also come from them.
        tolerance: the largest relative error allowed.
        errors: the error against each reference, by its name; the first one is onnxruntime.
        alone: the error against onnxruntime's result for the inputs that the compiled model gave to these layers; None
            when onnxruntime refuses them.
        allowed_alone: the largest relative error allowed for `alone`; None for `tolerances.ALONE` times `tolerance`.
    """

    value: str
    kernel: str
    operator: str
    layers: tuple[str, ...]
    unchecked: tuple[str, ...]
    tolerance: float
    errors: Mapping[str, NumericError]
    alone: NumericError | None
    allowed_alone: float | None = None

    @property
    def tolerance_alone(self) -> float:
        """The largest relative error allowed on the inputs that the layers received."""
        return ALONE * self.tolerance if self.allowed_alone is None else self.allowed_alone

    @property
    def wrong_against(self) -> tuple[str, ...]:
        """Names of the references from which it differs by more than the tolerance."""
        return tuple(name for name, error in self.errors.items() if not within(error, self.tolerance))

    @property
    def at_fault(self) -> bool:
        """Whether these layers are wrong themselves, even for the inputs that they got."""
        return self.alone is not None and not within(self.alone, self.tolerance_alone)

    @property
    def wrong(self) -> bool:
        """Whether it is out of tolerance."""
        return self.at_fault or bool(self.wrong_against)

    @property
    def only_rounding(self) -> bool:
        """Whether an error counts as right only because it is so small."""
        found = [(error, self.tolerance) for error in self.errors.values()]
        found += [(self.alone, self.tolerance_alone)] if self.alone is not None else []
        return any(only_rounding(error, allowed) for error, allowed in found)

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        names = ("value", "kernel", "operator", "tolerance", "wrong", "at_fault")
        return {name: getattr(self, name) for name in names} | {
            "layers": list(self.layers),
            "unchecked": list(self.unchecked),
            "errors": {name: error.to_json() for name, error in self.errors.items()},
            "alone": self.alone.to_json() if self.alone is not None else None,
        }


@dataclass(frozen=True, slots=True)
class Verification:
    """All values that were compared.

    Attributes:
        checks: each kernel's result that was compared, in the order of execution.
        outputs: the model's outputs.
        uncompared: each kernel's result that was not, and why.
        layers: how many layers the source model has.
        covered: how many of them come before a value that was compared.
        notes: what is missing and why; one line each.
    """

    checks: tuple[ValueCheck, ...]
    outputs: tuple[ValueCheck, ...]
    uncompared: tuple[Uncompared, ...]
    layers: int
    covered: int
    notes: tuple[str, ...]

    @property
    def first_wrong(self) -> ValueCheck | None:
        """The first value that is out of tolerance; None when all are right."""
        return next((check for check in (*self.checks, *self.outputs) if check.wrong), None)

    @property
    def framework(self) -> str:
        """Name of the original framework, if it is among the references; else empty."""
        names = (name for check in (*self.checks, *self.outputs) for name in check.errors)
        return next((name for name in names if name != ONNXRUNTIME), "")

    @property
    def later_at_fault(self) -> tuple[ValueCheck, ...]:
        """The values after the first wrong one that are wrong in themselves, not because of their inputs."""
        wrong = [check for check in self.checks if check.wrong]
        return tuple(check for check in wrong[1:] if check.at_fault)

    def to_json(self) -> dict[str, Any]:
        """A JSON object for people and programs to read; it cannot be converted back."""
        wrong = self.first_wrong
        return {
            "schema": "tvmopt-verification",
            "version": VERSION,
            "passed": wrong is None,
            "first_wrong": wrong.value if wrong is not None else None,
            "values": [check.to_json() for check in self.checks],
            "outputs": [check.to_json() for check in self.outputs],
            "not_compared": [entry.to_json() for entry in self.uncompared],
            "layers": self.layers,
            "layers_covered": self.covered,
            "notes": list(self.notes),
        }
