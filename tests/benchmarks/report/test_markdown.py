"""Markdown for an issue or a wiki."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report.markdown import render_markdown
from tvmopt.benchmarks.report.tables import escape


def test_every_table_is_whole(comparison: Comparison) -> None:
    lines = render_markdown([comparison]).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert tables
    for before, line in itertools.pairwise(lines):
        if before.startswith("|") and line.startswith("|"):
            assert before.replace("\\|", "").count("|") == line.replace("\\|", "").count("|")


def test_measured_and_missing_rows(comparison: Comparison) -> None:
    text = render_markdown([comparison])
    assert len(re.findall(r"^\| OpenVINO \| FP32 \| \d", text, re.MULTILINE)) == 2
    assert "- tvmopt tuned: no records: run tvmopt tune or pass --tune-trials" in text
    assert "### Batch 1, 2 threads" in text
    assert "(baseline)" in text


def test_text_from_files_stays_text(comparison: Comparison) -> None:
    evil = "a|b\n# heading <script>`x` [link](y) **bold** &amp;"
    text = render_markdown([replace(comparison, model={**comparison.model, "name": evil, "input_data": evil})])
    assert "<script>" not in text
    assert "\n# heading" not in text
    assert escape(evil) == r"a\|b \# heading &lt;script&gt;\`x\` \[link\](y) \*\*bold\*\* &amp;amp;"


def test_unlike_machines(comparison: Comparison) -> None:
    other = replace(comparison, environment={**comparison.environment, "cpu": "Another CPU"})
    text = render_markdown([comparison, other])
    assert text.startswith("> **Different machines.**")
    assert "Overview" not in text
    assert "## Overview" in render_markdown([comparison, comparison])


def test_how_the_import_was_checked(comparison: Comparison) -> None:
    for facts, said in (
        ({"checked_against": "MXNet"}, "The import computes what MXNet does."),
        (
            {"unchecked": "MXNet does not run it: no luck"},
            "The import was not checked: MXNet does not run it: no luck.",
        ),
    ):
        assert said in render_markdown([replace(comparison, model={**comparison.model, **facts})])
    assert "The import" not in render_markdown([comparison])
