"""The page is complete, self-contained, and safe against text from files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.report.outline import EVIL, Outline
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report.page import render_page
from tvmopt.benchmarks.report.words import milliseconds


@pytest.fixture(scope="module")
def _matplotlib() -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")


pytestmark = pytest.mark.usefixtures("_matplotlib")


def test_everything_is_on_it(comparison: Comparison) -> None:
    outline = Outline(render_page([comparison]))
    assert outline.open == []
    for words in (
        *("mobilenet_v2", "Batch 1, 1 thread", "Batch 1, 2 threads", "Latency", "Speed-up over PyTorch", "Throughput"),
        *("Difference from PyTorch's outputs", "Peak memory", "Getting ready", "How it was measured", "The machine"),
        *("no records: run tvmopt tune or pass --tune-trials", "graph optimisation: all", "openvino 2026.4.1"),
    ):
        assert words in outline.text, words
    assert outline.tags.count("svg") == 5
    for row in comparison.measurements:
        if row.latency_s:
            assert milliseconds(row.latency_s.median) in outline.text


def test_it_needs_nothing_else(comparison: Comparison) -> None:
    outline = Outline(render_page([comparison]))
    assert not {"script", "link", "img", "iframe"} & set(outline.tags)
    addresses = [value for name, value in outline.attributes if name in ("src", "href", "xlink:href")]
    assert all(address.startswith("#") for address in addresses)


def test_identifiers_are_unique(comparison: Comparison) -> None:
    other = replace(comparison, created="2026-01-01T00:00:00+00:00")
    outline = Outline(render_page([comparison, other]))
    identifiers = [value for name, value in outline.attributes if name == "id" and value.startswith(("m", "p"))]
    clips = [value for value in identifiers if len(value) == 11]
    assert clips
    assert len(clips) == len(set(clips))


def test_the_same_files_give_the_same_page(comparison: Comparison) -> None:
    assert render_page([comparison]) == render_page([comparison])


def test_text_from_files_stays_text(comparison: Comparison) -> None:
    rows = tuple(replace(row, message=EVIL, settings={EVIL: EVIL}, variant=EVIL) for row in comparison.measurements)
    rows = (replace(rows[0], runtime=EVIL), *rows[1:])
    evil = replace(
        comparison,
        created=EVIL,
        measurements=rows,
        model={**comparison.model, "name": EVIL, "spec": EVIL, "reference": EVIL, "reference_note": EVIL},
        environment={**comparison.environment, "cpu": EVIL, "os": EVIL, "packages": {EVIL: EVIL}, "isa": [EVIL]},
    )
    page = render_page([evil])
    outline = Outline(page)
    assert outline.open == []
    assert not {"script", "img"} & set(outline.tags)
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert EVIL in outline.text


def test_unlike_machines_are_not_compared(comparison: Comparison) -> None:
    other = replace(comparison, environment={**comparison.environment, "cpu": "Another CPU"})
    outline = Outline(render_page([comparison, other]))
    assert "Different machines." in outline.text
    assert "Overview" not in outline.text
    same = Outline(render_page([comparison, comparison]))
    assert "Different machines." not in same.text
    assert "Overview: median latency in ms" in same.text


def test_one_cell_and_one_runtime(comparison: Comparison) -> None:
    row = comparison.measurements[0]
    small = replace(comparison, measurements=(row,), verdicts=())
    outline = Outline(render_page([small]))
    assert row.latency_s is not None
    assert f"PyTorch takes {milliseconds(row.latency_s.median)} ms." in outline.text
    assert outline.tags.count("svg") == 3  # no speed-up over itself, no error of the reference


def test_nothing_measured(comparison: Comparison) -> None:
    rows = tuple(row for row in comparison.measurements if row.latency_s is None)
    outline = Outline(render_page([replace(comparison, measurements=rows, verdicts=())]))
    assert "Nothing was measured." in outline.text
    assert outline.tags.count("svg") == 0


def test_a_stopped_run_and_a_loaded_machine_are_reported(comparison: Comparison) -> None:
    load = [{"batch": 1, "threads": 1, "busy_cores": 0.9}]
    stopped = replace(comparison, complete=False, protocol={**comparison.protocol, "other_load": load})
    text = Outline(render_page([stopped])).text
    assert "The run was stopped early; the results shown were complete by then." in text
    assert "Other programs kept 0.9 cores busy" in text
