"""What candidates are run on."""

from __future__ import annotations

from tests.workloads.integers import integer_convolution
from tvmopt.pipeline.tuning.measure.run_worker import random_inputs
from tvmopt.schedules.compute.integers import NARROW, largest_sum
from tvmopt.schedules.compute.reference import reference


def test_weights_of_integers_keep_what_a_workload_says_of_its_sums() -> None:
    """Candidates for which it must hold refuse other weights; of 1200 channels, random bytes would not do."""
    workload = integer_convolution((1, 1200, 3, 3), 8)
    drawn = random_inputs(workload, 0)
    assert largest_sum(drawn[1]) < NARROW
    result = reference(workload, drawn)
    assert ((result > 0) & (result < 255)).mean() > 0.3
