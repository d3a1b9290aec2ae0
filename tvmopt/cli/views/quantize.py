"""The output of `tvmopt quantize`: a row for each layer, what stayed in float and why, accuracy, sizes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from tvmopt.cli.tables import Column, Table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tvmopt.jobs.quantizing import QuantizeResult
    from tvmopt.pipeline.data.metrics.metric import Difference, Score
    from tvmopt.pipeline.quantize.accuracy import Accuracy
    from tvmopt.pipeline.quantize.types import LayerReport, Noise

LISTED = 8
"""How many layers a line names; it only counts the rest."""


def parts(result: QuantizeResult) -> Iterator[RenderableType]:
    """All parts of the output, in order."""
    found = result.quantized
    yield table(found.layers, found.outputs)
    yield from layers_in_float(found.layers)
    yield from data_lines(result)
    if found.accuracy is not None:
        yield from accuracy_lines(found.accuracy)
    yield from result.notes
    before, after = found.weights_nbytes
    yield f"constants: {before / 2**20:.2f} MiB before, {after / 2**20:.2f} after ({after / max(1, before):.2f} of it)"


def table(layers: Sequence[LayerReport], outputs: Mapping[str, Noise]) -> Table:
    """One row per layer in the order of the model, then the model's outputs."""
    rows = Table(
        Column("layer", least=16),
        Column("operator", rank=1),
        Column("alone, dB", number=True),
        Column("in the model, dB", number=True),
        Column("", least=14),
    )
    for layer in layers:
        alone, whole = decibels(layer.alone), decibels(layer.whole)
        rows.add(layer.layer, layer.operator, alone, whole, layer.in_float and "float")
    for name, noise in outputs.items():
        rows.add(f"output {name}", "", "", decibels(noise), "")
    return rows


def decibels(noise: Noise | None) -> str:
    """A signal-to-noise ratio; a dash where there is none."""
    if noise is None:
        return "–"
    return f"{noise.decibels:.1f}" if math.isfinite(noise.decibels) else "exact" if noise.decibels > 0 else "–"


def layers_in_float(layers: Sequence[LayerReport]) -> Iterator[str]:
    """How many layers are quantised; and the others, by the reason."""
    kept = sorted((layer for layer in layers if not layer.is_quantized), key=lambda layer: layer.in_float)
    yield f"{len(layers) - len(kept)} of {len(layers)} layers are quantised"
    for reason, group in groupby(kept, key=lambda layer: layer.in_float):
        names = [layer.layer for layer in group]
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        yield f"{len(names)} in float ({reason}): {', '.join(names[:LISTED])}{more}"


def data_lines(result: QuantizeResult) -> Iterator[str]:
    """What was calibrated on, and how pictures were prepared."""
    skipped = result.quantized.skipped
    unread = f"; {skipped} more could not be read" if skipped else ""
    yield f"ranges of values from {result.data}{unread}"
    if result.preprocessing is not None:
        name, why = result.preprocessing
        reason = f" ({why}; --preprocess takes others)" if why else ""
        yield f"pictures prepared as {name}{reason}"
    yield f"weights use {result.weight_bits} bits" + (", 8 where depthwise" if result.weight_bits < 8 else "")


def accuracy_lines(accuracy: Accuracy) -> Iterator[str]:
    """Accuracy before and after, and the difference, with 95 % intervals."""
    unread = f", {accuracy.skipped} more could not be read" if accuracy.skipped else ""
    yield f"accuracy on {accuracy.samples} samples{unread} (95 % intervals in brackets):"
    for name, before in accuracy.before.items():
        after = shown(accuracy.after[name], accuracy.percent)
        yield f"  {name}: {shown(before, accuracy.percent)} before, {after} after"
    if accuracy.all_quantized is not None:
        yield f"  {accuracy.metric} with all layers quantised: {shown(accuracy.all_quantized, accuracy.percent)}"
    yield f"  change of {accuracy.metric}: {shown(accuracy.difference, accuracy.percent, '+')}"


def shown(score: Score | Difference, percent: bool, sign: str = "") -> str:
    """A value and its interval, in per cent or in the unit of the user's metric."""
    form = f"{sign}.2%" if percent else f"{sign}.4g"
    low, high = (format(edge, form) for edge in score.interval)
    return f"{score.value:{form}} ({low} to {high})"
