"""The networks that were never tuned."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from tvmopt.benchmarks.measurements.files import read_comparisons
from tvmopt.benchmarks.suite import networks as suite
from tvmopt.benchmarks.suite.never_tuned import NAMES, NEVER_TUNED, model_of
from tvmopt.pipeline.importers.source import parse_source


def test_names_are_unique() -> None:
    assert max(Counter((*NAMES, *suite.NETWORKS)).values()) == 1


@pytest.mark.parametrize("file", NEVER_TUNED)
def test_the_table_lists_every_factory_of_a_file(file: str) -> None:
    source = parse_source(model_of(NEVER_TUNED[file][0]))
    made = [
        node.name
        for node in ast.parse(Path(source.path).read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    assert sorted(made) == sorted(NEVER_TUNED[file])


def test_short_does_not_go_with_networks() -> None:
    done = CliRunner().invoke(suite.main, ["--networks", "--short"])
    assert done.exit_code == 2
    assert "--short does not go with --networks" in done.output


@pytest.mark.slow
def test_a_small_run_needs_no_records(tmp_path: Path) -> None:
    arguments = ["--networks", "--network", "tabular_mlp", "--peer", "onnxruntime", "--threads", "1", "--rounds", "5"]
    done = CliRunner().invoke(suite.main, [*arguments, "--results", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (file,) = tmp_path.glob("*-networks.json")
    (comparison,) = read_comparisons(file)
    assert [(row.runtime, row.status) for row in comparison.measurements] == [
        ("onnxruntime", "ok"),
        ("tvmopt-transfer", "ok"),
    ]
    assert "Geometric mean (≥ 1.3)" in done.output
