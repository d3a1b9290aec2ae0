"""Finds inputs that a model runs on: proposes some, and lets onnxruntime judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from tvmopt.pipeline.errors import ModelInputError, UnsupportedModelError
from tvmopt.pipeline.importers.check.random_inputs import SMALL, draw_inputs, draws_of
from tvmopt.pipeline.support.onnxruntime import open_session, run_session
from tvmopt.pipeline.types import Draw, TensorSpec

Arrays = Mapping[str, np.ndarray]
Draws = Mapping[str, Draw]

_GUESSES = 24
"""How many times the limits of all integers are guessed when nothing simpler suits."""

_LIMITS = ((0, 1), (1, 2), (0, 2), (1, 3), (0, 4), (2, 8), (-2, 0), (-4, 4))
"""What they are guessed from; those of negative numbers stand last."""
_UNSIGNED = 6


@dataclass(frozen=True, slots=True)
class Suitable:
    """Inputs that a model runs on.

    Attributes:
        draws: how to make more of them.
        inputs: an array for each input, made as `draws` says from seed 0.
        outputs: the model's outputs for `inputs`, from onnxruntime with optimisation off.
    """

    draws: Draws
    inputs: Arrays
    outputs: Arrays

    @property
    def is_finite(self) -> bool:
        """Whether all outputs are finite numbers."""
        return all(np.isfinite(array).all() for array in self.outputs.values() if array.dtype.kind == "f")


def find_inputs(
    model: onnx.ModelProto, specs: Sequence[TensorSpec], graph: onnx.GraphProto, examples: Arrays | None = None
) -> Suitable:
    """Finds inputs that `model` runs on.

    Tried in turn: random values within the limits that `graph` shows; values between the least and the largest of
    `examples`; `examples` themselves; random values within narrower and narrower limits. The examples come also where
    random values make outputs that are not finite: a mask of other values than 0 and 1, a logarithm.

    Args:
        model: what to run.
        specs: its inputs.
        graph: a graph of the same inputs with the shapes of its values.
        examples: arrays on which its framework ran it, if there are any.

    Raises:
        UnsupportedModelError: onnxruntime refuses the model, or runs it on none of them; names the layer.
    """
    session = open_session(model)
    usual = draws_of(specs, graph)
    refusals: list[UnsupportedModelError] = []

    def attempt(draws: Draws) -> Suitable | None:
        inputs = draw_inputs(specs, draws)
        try:
            return Suitable(draws, inputs, run_session(session, inputs))
        except UnsupportedModelError as error:
            refusals.append(error)
            return None

    ran = None
    for draws in (usual, *_from_examples(specs, examples or {})):
        found = attempt(draws)
        if found is not None and found.is_finite:
            return found
        ran = ran or found
    for draws in _narrower(specs, usual):
        ran = ran or attempt(draws)
    if ran is None:
        raise UnsupportedModelError(
            f"{refusals[0]}; so it was with all {len(refusals)} kinds of random inputs that were tried: "
            "give inputs that suit the model with --inputs FILE.npz"
        ) from refusals[0]
    return ran


def take_inputs(model: onnx.ModelProto, given: Arrays) -> Suitable:
    """The inputs that the user gave, after a run of `model` on them.

    Raises:
        ModelInputError: `model` does not run on them; names the layer.
        UnsupportedModelError: onnxruntime refuses the model whatever its inputs.
    """
    session = open_session(model)
    try:
        outputs = run_session(session, given)
    except UnsupportedModelError as error:
        raise ModelInputError(f"the model does not run on the inputs given: {error}") from error
    return Suitable({name: Draw(given=array) for name, array in given.items()}, given, outputs)


def _from_examples(specs: Sequence[TensorSpec], examples: Arrays) -> Iterator[Draws]:
    """Values between the least and largest of each example; the examples themselves."""
    if any(name not in examples or examples[name].shape != shape for name, shape in ((s.name, s.shape) for s in specs)):
        return
    yield {spec.name: _spanned(spec, examples[spec.name]) for spec in specs}
    yield {spec.name: Draw(given=examples[spec.name]) for spec in specs}


def _spanned(spec: TensorSpec, example: np.ndarray) -> Draw:
    if example.dtype.kind not in "iuf" or not np.isfinite(example).all():
        return Draw(given=example)
    low, high = float(example.min()), float(example.max())
    if example.dtype.kind in "iu":
        return Draw(int(example.min()), int(example.max()) + 1)
    return Draw(low, high) if low < high else Draw(given=example)


def _narrower(specs: Sequence[TensorSpec], usual: Draws) -> Iterator[Draws]:
    """Narrower limits: first of all integers alike, then guessed for each; floats are ratios, between 0 and 1."""
    integers = [spec.name for spec in specs if np.dtype(spec.dtype).kind in "iu"]
    floats = {spec.name: Draw(0, 1) for spec in specs if np.dtype(spec.dtype).kind == "f"}
    if floats:
        yield {**usual, **floats}
    if not integers:
        return
    high = SMALL
    while high > 1:
        high //= 2
        yield {**usual, **{name: _below(usual.get(name, Draw(0, SMALL)), high) for name in integers}}
    for low in (1, 2, 4):
        yield {**usual, **{name: Draw(low, low + 1) for name in integers}}
    random = np.random.default_rng(0)
    signed = [spec.name for spec in specs if np.dtype(spec.dtype).kind == "i"]
    for _ in range(_GUESSES):
        guessed = {name: _LIMITS[random.integers(len(_LIMITS) if name in signed else _UNSIGNED)] for name in integers}
        yield {**usual, **{name: Draw(*limits) for name, limits in guessed.items()}}


def _below(draw: Draw, high: int) -> Draw:
    """`draw`, with no values from `high` on unless that leaves none."""
    return replace(draw, high=max(min(draw.high, high), draw.low + 1))
