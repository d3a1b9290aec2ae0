"""The tuners on recorded exhaustive tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tvmopt.benchmarks.suite.tuners import FRACTIONS, TABLES, render, score_tables, table_target


def test_three_tables_are_there() -> None:
    tables = sorted(TABLES.glob("*.jsonl"))
    assert len(tables) >= 3
    assert all(table_target(path).arch == "x86_64" for path in tables)


@pytest.mark.slow
def test_the_cost_model_is_near_the_best_and_ahead_of_random() -> None:
    scores = score_tables(TABLES, range(5))
    regret = dict.fromkeys(("xgb", "random"), 0.0)
    for _, _, tuners in scores:
        assert tuners["xgb"].median(0.15) <= 1.05
        for name in regret:
            regret[name] += sum(row[FRACTIONS.index(0.1)] - 1 for row in tuners[name].ratios)
    assert regret["xgb"] < 0.8 * regret["random"]
    text = render(scores)
    assert re.search(r"\| xgb \| 1\.\d{3}", text)
    assert all(Path(path).stem in text for path in TABLES.glob("*.jsonl"))
