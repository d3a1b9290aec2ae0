"""The output of `tvmopt verify`: a row per layer, what was compared, and the finding in one line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from tvmopt.cli.consoles import first_of
from tvmopt.cli.tables import Column, Table
from tvmopt.pipeline.support.tolerances import only_rounding, stated
from tvmopt.pipeline.verification.result import ONNXRUNTIME

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tvmopt.pipeline.support.numeric_error import NumericError
    from tvmopt.pipeline.verification.result import ValueCheck, Verification

LISTED = 8
"""Maximum number of layers that a line names; it only counts the rest."""


def parts(result: Verification) -> Iterator[RenderableType]:
    """All parts of the output except the finding, in order."""
    yield table(result)
    yield from summary(result)


def table(result: Verification) -> Table:
    """One row per kernel in the order of execution, then the model's outputs."""
    names = ("alone", *filter(None, [result.framework]))
    rows = Table(
        Column("layer", least=16),
        Column("kernel", least=10),
        Column("max abs", number=True, rank=2),
        Column("relative", number=True),
        Column("1 − cosine", number=True, rank=1),
        *(Column(name, number=True) for name in names),
        Column("", least=14),
    )
    for check in (*result.checks, *result.outputs):
        error = check.errors[ONNXRUNTIME]
        cells = [_number(error.max_abs), _number(error.relative), _number(1 - error.cosine), _relative(check.alone)]
        if result.framework:
            cells.append(_relative(check.errors.get(result.framework)))
        layer = first_of(check.layers) if check.kernel else f"output {check.value}"
        rows.add(layer, check.operator, *cells, _mark(result, check), style="red" if check.wrong else "")
    return rows


def _mark(result: Verification, check: ValueCheck) -> str:
    if check is result.first_wrong:
        return "first out of tolerance"
    if not check.wrong:
        return "only rounding" if check.only_rounding else ""
    return "out of tolerance, alone too" if check.at_fault else "out of tolerance"


def _relative(error: NumericError | None) -> str:
    return "–" if error is None else _number(error.relative)


def _number(error: float) -> str:
    return "inf" if math.isinf(error) else f"{error:.1e}" if error else "0"


def summary(result: Verification) -> Iterator[str]:
    """What was compared, and what was not and why; one line each."""
    checks = (*result.checks, *result.outputs)
    references = list(dict.fromkeys(name for check in checks for name in check.errors))
    counts = ", ".join(f"{sum(name in check.errors for check in checks)} with {name}" for name in references)
    kernels = len(result.checks) + len(result.uncompared)
    if kernels:
        yield f"compared {len(result.checks)} of {kernels} kernels' results, {len(result.outputs)} outputs ({counts})"
        yield f"{result.covered} of {result.layers} layers of the model feed into one of them"
    else:
        yield f"the artifact does not list its kernels (it is for a GPU): only outputs were compared ({counts})"
    ordered = sorted(result.uncompared, key=lambda entry: entry.reason)
    for reason, group in groupby(ordered, key=lambda entry: entry.reason):
        missing = list(group)
        names = list(dict.fromkeys(layer for entry in missing for layer in entry.step.layers))
        yield f"{len(missing)} not compared: {_listed(names)} ({reason})"
    yield from result.notes
    if result.first_wrong is None:
        errors = [(error, check.tolerance) for check in checks for error in check.errors.values()]
        alone = [(check.alone, check.tolerance_alone) for check in checks if check.alone is not None]
        yield f"all within tolerance: {_worst(errors)}" + (f"; alone: {_worst(alone)}" if alone else "")


def _worst(errors: Sequence[tuple[NumericError, float]]) -> str:
    """The largest of several errors in words, each given with what is allowed of it; rounding comes last."""
    return stated(*max(errors, key=lambda one: (not only_rounding(*one), one[0].relative)))


def finding(result: Verification) -> str:
    """The first layer out of tolerance, its errors, and whether it is at fault itself.

    Raises:
        ValueError: when every layer is within tolerance.
    """
    check = result.first_wrong
    if check is None:
        raise ValueError("every layer is within tolerance")
    first, *others = check.layers or (check.value,)
    fused = f", fused with {_listed(others)}" if others else ""
    what = f"layer {first!r} ({check.operator}{fused})" if check.kernel else f"output {check.value!r} (layer {first!r})"
    parts = [f"{what} is the first out of tolerance"]
    parts += [
        f"relative error {_number(check.errors[reference].relative)} against {reference}, allowed {check.tolerance:g}"
        for reference in check.wrong_against
    ]
    if check.alone is not None:
        cause = "it is at fault itself" if check.at_fault else "errors of earlier layers grew here"
        error, allowed = _number(check.alone.relative), f"{check.tolerance_alone:g}"
        parts.append(f"{error} on the inputs that it received, allowed {allowed}: {cause}")
    if check.unchecked:
        parts.append(f"{_listed(check.unchecked)} before it could not be compared and may be the cause")
    if result.later_at_fault:
        later = [other.layers[0] for other in result.later_at_fault]
        parts.append(f"later layers at fault themselves: {_listed(later)}")
    return "; ".join(parts)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
