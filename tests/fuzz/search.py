"""Runs seeds, and makes what fails small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import onnx

from tests.fuzz.convolutional import convolutional
from tests.fuzz.drawing import Drawing, draw
from tests.fuzz.judge import Failure, Setting, judge
from tests.fuzz.matrices import matrices
from tests.fuzz.minimise import minimise
from tvmopt.pipeline.compiler.kernels.forge import Forge

FAMILIES: Mapping[str, Callable[[Drawing], None]] = {"convolutional": convolutional, "matrices": matrices}


@dataclass(frozen=True, slots=True)
class Found:
    """A seed that fails.

    Attributes:
        failure: what went wrong.
        model: the model, made small.
    """

    failure: Failure
    model: onnx.ModelProto


def setting_of(family: str, seed: int) -> Setting:
    """One thread or two, in turn; every third network of feature maps without algorithms that spread NaN."""
    strict = family == "convolutional" and seed % 3 == 0
    return Setting(1 + seed % 2, seed, hurt=strict or family != "convolutional", strict_nan=strict)


def try_seed(family: str, seed: int, forge: Forge, limit_s: float = 120.0) -> Found | None:
    """The model of a seed if it fails, made small for at most `limit_s` seconds; None if all is right."""
    model = draw(FAMILIES[family], seed)
    failure = judge(model, setting_of(family, seed), forge)
    if failure is None:
        return None

    def fails(smaller: onnx.ModelProto) -> bool:
        found = judge(smaller, setting_of(family, seed), forge)
        return found is not None and found.kind == failure.kind

    return Found(failure, minimise(model, fails, limit_s) if limit_s else model)


def save(found: Found, family: str, seed: int, folder: Path) -> Path:
    """Writes the model of `found` into `folder`; its name tells the family and the seed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{family}_{seed}.onnx"
    onnx.save(found.model, path)
    return path


@cache
def _forge() -> Forge:
    """The worker's; it ends with the worker."""
    return Forge()


def attempt(family: str, seed: int, limit_s: float) -> tuple[Failure, bytes] | None:
    """`try_seed` in a process that keeps one forge: the failure, and the model as bytes."""
    found = try_seed(family, seed, _forge(), limit_s)
    return None if found is None else (found.failure, found.model.SerializeToString())
