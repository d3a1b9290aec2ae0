"""Which record applies: what was measured elsewhere, or alone, must outweigh the template's estimate."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.records.explain import explain
from tvmopt.pipeline.records.lookup import applicable
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.schedules.host import host_cpu
from tvmopt.schedules.registry import BoundKernel
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

WORKLOAD = synthetic.convolution()
DEFAULT = synthetic.SyntheticTemplate().default(WORKLOAD, synthetic.TARGET)
OTHER = next(config for config in synthetic.configs() if config != DEFAULT)
HERE, ELSEWHERE = host_cpu(), "another processor"


class TemplateThatEstimates(synthetic.SyntheticTemplate):
    """Says that every config but the default takes `ratio` times as long."""

    def __init__(self, ratio: float) -> None:
        self.ratio = ratio

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        return 1000.0 * (1.0 if config == DEFAULT else self.ratio)


@pytest.mark.parametrize(
    ("cpu", "in_model", "speedup", "ratio", "applies"),
    [
        (HERE, True, 1.01, 3.0, True),  # measured where it will run: nothing speaks against that
        (HERE, False, 1.10, 1.00, True),
        (HERE, False, 1.10, 0.50, True),
        (HERE, False, 1.10, 1.09, True),
        (HERE, False, 1.10, 1.11, False),
        (HERE, False, None, 1.00, True),  # the default is newer than the records
        (HERE, False, None, 1.01, False),
        (ELSEWHERE, True, 1.016, 1.00, False),  # within what runs differ by
        (ELSEWHERE, True, 1.016, 1.41, False),
        (ELSEWHERE, True, 1.10, 1.00, True),
        (ELSEWHERE, True, 1.10, 1.08, False),
        (ELSEWHERE, True, 2.00, 1.64, True),
        (ELSEWHERE, True, None, 0.99, True),
        (ELSEWHERE, True, None, 1.23, False),
        (ELSEWHERE, False, 1.50, 1.60, False),
    ],
)
def test_records_against_the_estimate(  # a row of the table
    tmp_path: Path, cpu: str, in_model: bool, speedup: float | None, ratio: float, applies: bool
) -> None:
    store = RecordStore(tmp_path)
    facts = {"cpu": cpu, "in_model": in_model}
    wanted = synthetic.record(WORKLOAD, OTHER, latency_s=(1e-3,), **facts)
    store.append(wanted)
    # In the other conditions the default is fast: that is not compared.
    store.append(synthetic.record(WORKLOAD, DEFAULT, latency_s=(1e-6,), cpu="a third", in_model=in_model))
    store.append(synthetic.record(WORKLOAD, OTHER, latency_s=(1e-3,), **facts))
    store.append(synthetic.record(WORKLOAD, OTHER, latency_s=(1e-3,), **facts))
    if speedup is not None:
        store.append(synthetic.record(WORKLOAD, DEFAULT, latency_s=(1e-3 * speedup,), **facts))
    template = TemplateThatEstimates(ratio)
    found = applicable(store, BoundKernel(template, WORKLOAD, synthetic.TARGET))
    assert (None if found is None else found.config) == (OTHER if applies else None)
    told = explain(store, WORKLOAD, synthetic.TARGET, template)
    assert told.record == found
    if not applies:
        assert f"by the template's estimate {max(1.0, ratio):.2f} times as slow as the default here" in told.reasons[0]


@pytest.mark.parametrize("cpu", [HERE, ELSEWHERE])
def test_a_template_that_estimates_nothing_takes_what_was_measured(tmp_path: Path, cpu: str) -> None:
    store = RecordStore(tmp_path)
    store.append(synthetic.record(WORKLOAD, OTHER, latency_s=(1e-3,), cpu=cpu))
    kernel = BoundKernel(synthetic.SyntheticTemplate(), WORKLOAD, synthetic.TARGET)
    found = applicable(store, kernel)
    assert found is not None
    assert found.config == OTHER
