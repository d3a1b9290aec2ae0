"""Files of one machine are grouped; files of different machines are not."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report.machines import group_by_machine, unlike_warning
from tvmopt.benchmarks.report.overview import view_overview


def on(comparison: Comparison, **environment: object) -> Comparison:
    return replace(comparison, environment={**comparison.environment, **environment})


def test_one_machine(comparison: Comparison) -> None:
    later = on(comparison, load_average=[9, 9, 9], kernel="Linux 99")
    (machine,) = group_by_machine([comparison, later])
    assert machine.comparisons == (comparison, later)
    assert machine.software == ("kernel",)
    assert unlike_warning([machine]) is None


def test_unlike_machines(comparison: Comparison) -> None:
    machines = group_by_machine([comparison, on(comparison, cpu="Other", cores=64), comparison])
    assert [len(machine.comparisons) for machine in machines] == [2, 1]
    warning = unlike_warning(machines)
    assert warning is not None
    assert "2 different machines (they differ in: cpu, cores)" in warning


def test_overview_has_a_line_for_each_cell(comparison: Comparison) -> None:
    renamed = replace(comparison, model={**comparison.model, "name": "other"})
    overview = view_overview([comparison, renamed])
    assert overview.columns[0] == "PyTorch"
    assert "tvmopt tuned" not in overview.columns  # it was not measured
    assert [what for what, _ in overview.lines] == [
        "mobilenet_v2, batch 1, 1 thread",
        "mobilenet_v2, batch 1, 2 threads",
        "other, batch 1, 1 thread",
        "other, batch 1, 2 threads",
    ]
    assert all(len(medians) == len(overview.columns) for _, medians in overview.lines)
