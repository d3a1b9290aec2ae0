"""What a candidate may leave around the maps that it computes, and in them."""

from __future__ import annotations

import numpy as np
import pytest

from tvmopt.pipeline.tuning.measure.run_worker import halo_error
from tvmopt.schedules.workload import Tensor, Workload

BLOCKED = Tensor((1, 10, 3, 5), block=8, halo=(1, 2, 0, 1))
LOGARITHM = Workload("pointwise", (Tensor((1, 10, 3, 5), block=8),), BLOCKED, epilogue=("log", ("arg", 0)))
"""Of random inputs: half of the results are NaN."""


@pytest.fixture
def memory() -> np.ndarray:
    with np.errstate(invalid="ignore"):
        made: np.ndarray = np.log(np.random.default_rng(0).standard_normal(BLOCKED.shape, np.float32))
    assert np.isnan(made).any()
    return BLOCKED.store(made)


def test_the_maps_may_hold_anything(memory: np.ndarray) -> None:
    assert halo_error(LOGARITHM, memory) == ""


def test_padding_channels_are_finite_and_written(memory: np.ndarray) -> None:
    memory[0, 1, 2, 3, 2] = 5.0
    assert halo_error(LOGARITHM, memory) == ""
    memory[0, 1, 2, 3, 2] = np.nan
    assert halo_error(LOGARITHM, memory) == "not every element of the output was written"


@pytest.mark.parametrize(
    ("value", "says"), [(1.0, "the halo is not zero"), (np.nan, "not every element of the output was written")]
)
def test_the_halo_is_zero(memory: np.ndarray, value: float, says: str) -> None:
    memory[0, 0, 0, 4, 3] = value
    assert halo_error(LOGARITHM, memory) == says


def test_the_halo_of_a_quantised_map_is_its_zero_point() -> None:
    output = Tensor((1, 10, 3, 5), "uint8", 8, (1, 2, 0, 1), 7)
    workload = Workload("pointwise", (output,), output)
    memory = output.store(np.full(output.shape, 200, np.uint8))
    assert halo_error(workload, memory) == ""
    memory[0, 0, 0, 4, 3] = 0
    assert halo_error(workload, memory) == "the halo is not 7"
