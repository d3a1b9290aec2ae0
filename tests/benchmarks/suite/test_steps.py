"""Code that the suite's commands share."""

from __future__ import annotations

import click
import pytest

from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.suite.steps import EchoSteps, fitting_threads
from tvmopt.pipeline.support.progress import StepBegan


def test_steps_go_to_standard_error_without_the_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    for step in ("importing net", "net, batch 1, 2 threads: round 3 of 20", "net, threads 2: turn 1 of 3"):
        EchoSteps().tell(StepBegan(step, 1, None))
    assert tuple(capsys.readouterr()) == ("", "importing net\nnet, threads 2: turn 1 of 3\n")


def test_thread_counts_without_cores_are_left_out() -> None:
    cores = len(usable_cores())
    assert fitting_threads((1, cores, cores + 1)) == (1, cores)
    with pytest.raises(click.UsageError, match=f"--threads is at most {cores}, the cores this process may use"):
        fitting_threads((cores + 1,))
