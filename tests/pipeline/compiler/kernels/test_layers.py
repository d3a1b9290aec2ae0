"""Layers with large constants, which are passed to them like inputs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.artifact.format import read_parts
from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.compiler.check_layers import check_jobs
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.compiler.kernels.job import Job, layer_job
from tvmopt.pipeline.compiler.kernels.layer_inputs import PERIOD, inputs_of
from tvmopt.pipeline.compiler.kernels.layers import layer_model
from tvmopt.pipeline.compiler.tvm_layer import LARGE_BYTES
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.graph.passes import find_copies
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.target import parse_target

ROWS, COLUMNS = 61_111, 5
"""Of a table that is large."""

TARGET = parse_target("llvm", 2)


@pytest.fixture
def reading(onnx_model: Any, imported: Callable[..., ImportedModel]) -> Callable[[np.ndarray], ImportedModel]:
    """Rows and columns of a table, read by indices of either sign."""

    def make(table: np.ndarray) -> ImportedModel:
        model = onnx_model(
            ("Gather", "table i", "rows", {"axis": 0}),
            ("Gather", "table j", "columns", {"axis": 1}),
            inputs={"i": ("int64", 7), "j": ("int64", 2)},
            outputs="rows columns",
            table=table,
        )
        return imported(model)

    return make


def table(seed: int) -> np.ndarray:
    made = np.random.default_rng(seed).standard_normal((ROWS, COLUMNS), np.float32)
    made[0], made[-1, 0] = np.nan, -np.inf
    assert made.nbytes > LARGE_BYTES
    return made


def jobs(model: ImportedModel) -> list[Job]:
    optimized = optimize(model, TARGET)
    layers = [node for node in optimized.graph.nodes if node.proto is not None]
    made = [layer_job(layer_model(optimized.graph, node), TARGET, node.layers[0]) for node in layers]
    return [*made, *check_jobs(optimized)]


def test_a_table_is_read_where_it_lies(reading: Any, tmp_path: Path) -> None:
    model = reading(table(0))
    compile_model(model, TARGET, None, tmp_path / "model.tar")
    artifact = load_artifact(tmp_path / "model.tar")
    inputs = {"i": np.array([0, -1, ROWS - 1, -ROWS, 5, 5, -7]), "j": np.array([-1, 0])}
    for name, wanted in run_model(model.original, inputs).items():
        np.testing.assert_array_equal(artifact.run(inputs)[name], wanted)
    weights = read_parts(tmp_path / "model.tar").weights
    assert weights is not None
    assert weights.nbytes < 1.01 * table(0).nbytes  # both layers read the same table


@pytest.fixture
def left_to_tvm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gather has no kernel of ours."""
    monkeypatch.delitem(find_copies.OWN_KERNELS, "Gather")


@pytest.mark.usefixtures("left_to_tvm")
def test_tvms_layers_read_a_table_where_it_lies(reading: Any, tmp_path: Path) -> None:
    test_a_table_is_read_where_it_lies(reading, tmp_path)


@pytest.mark.usefixtures("left_to_tvm")
def test_what_is_made_for_a_layer_does_not_depend_on_its_table(reading: Any) -> None:
    first, second = jobs(reading(table(1))), jobs(reading(table(2)))
    assert len(first) == 4
    assert [job.key for job in first] == [job.key for job in second]
    assert all(len(str(job.command)) < 5000 for job in first)


@pytest.mark.usefixtures("left_to_tvm")
def test_rows_of_a_large_random_table_differ(reading: Any) -> None:
    graph = optimize(reading(np.zeros((PERIOD // 3, 4), np.float32)), TARGET).graph
    node = next(node for node in graph.nodes if node.proto is not None)
    given = list(inputs_of(layer_model(graph, node)))
    assert len(given) > 1
    for inputs in given:
        (drawn,) = (array for array in inputs.values() if array.dtype == np.float32)
        assert drawn.shape == (PERIOD // 3, 4)
        assert math.prod(drawn.shape) > PERIOD
    rows = given[0][next(name for name, array in given[0].items() if array.ndim == 2)]
    assert len(np.unique(rows, axis=0)) == len(rows)
