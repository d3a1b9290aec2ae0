"""A compiled model observed kernel by kernel: each result, in order, and times that fit the run's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from tvmopt.pipeline.artifact.format import read_parts, save_artifact
from tvmopt.pipeline.artifact.kernel_by_kernel import time_steps, visit_steps
from tvmopt.pipeline.artifact.loaded import LoadedArtifact, load_artifact
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers import example_inputs
from tvmopt.pipeline.importers.check.normalized import with_outputs
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import Step


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "two.tar"
    path.write_bytes(tiny.artifact())
    return path


@pytest.fixture
def artifact(path: Path) -> LoadedArtifact:
    """The two convolutions, with inputs set."""
    loaded = load_artifact(path)
    loaded.set_inputs(example_inputs(tiny.load()))
    return loaded


def change_steps(path: Path, steps: list[Any]) -> LoadedArtifact:
    """The artifact at `path` with another list of kernels, its inputs set."""
    parts = read_parts(path)
    save_artifact(replace(parts, manifest={**parts.manifest, "steps": steps}), path)
    loaded = load_artifact(path)
    loaded.set_inputs(example_inputs(tiny.load()))
    return loaded


def visited(artifact: LoadedArtifact) -> list[tuple[Step, dict[str, np.ndarray]]]:
    found: list[tuple[Step, dict[str, np.ndarray]]] = []

    def visit(step: Step, outputs: Mapping[str, np.ndarray]) -> None:
        found.append((step, dict(outputs)))

    visit_steps(artifact, visit)
    return found


def test_every_kernels_result_is_the_models_value(artifact: LoadedArtifact) -> None:
    model = tiny.load()
    found = visited(artifact)
    assert tuple(step for step, _ in found) == artifact.steps
    results = {name: array for _, outputs in found for name, array in outputs.items()}
    expected = run_model(with_outputs(model.original, ["b"]), example_inputs(model), ["b", "y"])
    np.testing.assert_allclose(results["b"], expected["b"], rtol=1e-4, atol=1e-5)
    # In NCHW and without halo, whatever the layout in memory; a copy in another layout is equal.
    assert results["b"].shape == (1, 16, 14, 14)
    ends = [array for name, array in results.items() if name.startswith("y")]
    assert len(ends) == 2
    for array in ends:
        np.testing.assert_allclose(array, expected["y"], rtol=1e-4, atol=1e-4)


def test_observing_changes_nothing(artifact: LoadedArtifact) -> None:
    artifact.run_only()
    alone = artifact.outputs()["y"]
    visited(artifact)
    np.testing.assert_array_equal(artifact.outputs()["y"], alone)
    time_steps(artifact, 2)
    np.testing.assert_array_equal(artifact.outputs()["y"], alone)
    artifact.run_only()
    np.testing.assert_array_equal(artifact.outputs()["y"], alone)


def test_visited_values_do_not_change(artifact: LoadedArtifact) -> None:
    first = {name: array.copy() for _, outputs in visited(artifact) for name, array in outputs.items()}
    kept = visited(artifact)
    inputs = example_inputs(tiny.load(), seed=1)
    artifact.set_inputs(inputs)
    visited(artifact)
    for _, outputs in kept:
        for name, array in outputs.items():
            np.testing.assert_array_equal(array, first[name])


@pytest.mark.parametrize("on_processor", [False, True])
def test_times_of_every_kernel_in_every_run(artifact: LoadedArtifact, on_processor: bool) -> None:
    times = time_steps(artifact, 5, on_processor)
    assert len(times.whole) == 5
    assert [len(row) for row in times.steps] == [5] * len(artifact.steps)
    assert all(seconds > 0 for row in times.steps for seconds in row)
    for run, whole in enumerate(times.whole):
        assert sum(row[run] for row in times.steps) < whole


def test_time_of_others_is_not_in_processor_time(artifact: LoadedArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count(0, 1000)
    monkeypatch.setattr("time.thread_time_ns", lambda: next(ticks))  # whatever passes on the clock of the wall
    times = time_steps(artifact, 1, on_processor=True)
    assert times.steps == ((1e-6,),) * len(artifact.steps)
    assert times.whole == ((2 * len(artifact.steps) + 1) * 1e-6,)


@pytest.mark.parametrize("change", ["swapped", "one less", "another first"])
def test_a_kernel_list_of_another_library(path: Path, change: str) -> None:
    steps = json.loads(json.dumps(read_parts(path).manifest["steps"]))
    if change == "swapped":
        steps[0], steps[1] = steps[1], steps[0]
    elif change == "one less":
        steps.append(steps[-1])
    else:
        steps.insert(0, {**steps[0], "kernel": "another"})
    artifact = change_steps(path, steps)
    says = "runs other kernels than its manifest lists"
    with pytest.raises(InputFileError, match=says):
        visited(artifact)
    with pytest.raises(InputFileError, match=says):
        time_steps(artifact, 1)
    # The model itself still runs.
    artifact.run_only()
