"""Which networks a comparison tunes before it measures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tvmopt.benchmarks.comparison.compare import _Run
from tvmopt.benchmarks.measurements.options import CompareOptions
from tvmopt.benchmarks.runtimes.base import Job
from tvmopt.benchmarks.runtimes.registry import find_runtime
from tvmopt.pipeline.errors import CancelledError, TvmoptError, UnsupportedModelError
from tvmopt.pipeline.support.progress import Listener


def tuned(error: TvmoptError) -> list[Any]:
    """What is tuned for the plain runtime and for one that makes a network of its own, and fails at that."""

    def compiles(_job: Job) -> Path:
        raise error

    runtimes = tuple(
        replace(find_runtime("tvmopt"), modules=(), environment="", lacks=lambda: None, compiles=made)
        for made in (None, compiles)
    )
    subject: Any = SimpleNamespace(model="the model", quantized=False, job=lambda *_: None)
    run = _Run(CompareOptions("net.onnx"), runtimes, (0,), Listener(), None)
    return list(run._tuned(subject, 1))


def test_a_network_that_cannot_be_made_is_not_tuned() -> None:
    assert tuned(UnsupportedModelError("there is nothing to quantise")) == ["the model"]
    with pytest.raises(CancelledError):
        tuned(CancelledError())
