"""Reports layer by layer: texts, plots, the page, Markdown; and safety against text from files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.layered import make_table, profile, renamed
from tests.benchmarks.report.outline import EVIL, Outline
from tvmopt.benchmarks.measurements.layer_table import LayerTable, NoProfile
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report.layer_losses import find_losses, losses_in_columns
from tvmopt.benchmarks.report.layer_view import signed_ms, view_layers
from tvmopt.benchmarks.report.markdown import render_markdown
from tvmopt.benchmarks.report.page import render_page
from tvmopt.benchmarks.report.plots.layers import draw_layer_plots
from tvmopt.benchmarks.report.tables import plain_table


@pytest.fixture
def layered(comparison: Comparison) -> Comparison:
    """A comparison with layer profiles."""
    return replace(comparison, layers=(make_table(),))


@pytest.fixture
def bare(comparison: Comparison) -> Comparison:
    """A comparison without latencies, because plotting them takes time."""
    rows = tuple(row for row in comparison.measurements if row.latency_s is None)
    return replace(comparison, measurements=rows, verdicts=())


def test_view() -> None:
    view = view_layers(make_table())
    assert view.finding == (
        "tvmopt tuned's kernels take 0.0135 ms. Against the best runtime of each row it loses 0.00200 ms in 1 of 3 "
        "rows, most in conv: +0.002 ms over ONNX Runtime."
    )
    heads = [f"{first} {second}".strip() for first, second in view.heads]
    row = view.rows[0]
    texts = dict(zip(heads, (item.text for item in row.items), strict=True))
    assert (row.name, row.operator, row.output) == ("conv", "Conv", "1×8×16×16")
    assert texts["GFLOP"] == "0.000113"
    assert texts["tvmopt tuned ms"] == "0.0100"
    assert (texts["Over best ms"], texts["Over best"]) == ("+0.002", "1.25×")
    assert texts["Of the roofline"] == "11 %"
    assert [item.style for item in row.items if item.style] == ["slower", "slower"]
    assert [row.title for row in view.absent] == ["PyTorch compiled"]
    account = next(row for row in view.accounts if row.name == "pytorch")
    assert (account.layers_ms, account.no_layer_ms, account.outside_ms) == ("0.0320", "0.00100", "0.00200")
    assert account.share == "94 %"


def test_findings() -> None:
    table = make_table()
    ours = table.entries["tvmopt"]
    assert view_layers(replace(table, entries={"tvmopt": ours})).finding.endswith("no other runtime was profiled.")
    slow = replace(table, entries={"tvmopt": ours, "pytorch": table.entries["pytorch"]})
    assert view_layers(slow).finding.endswith("it is the quickest in every row.")
    other = replace(table, entries={"pytorch": table.entries["pytorch"]})
    assert view_layers(other).finding.startswith("No profile of tvmopt")


@pytest.mark.parametrize(("seconds", "text"), [(1.234e-4, "+0.123"), (-2e-6, "−0.002"), (1e-9, "0"), (-1e-9, "0")])
def test_signed_ms(seconds: float, text: str) -> None:
    assert signed_ms(seconds) == text


def test_plain_table() -> None:
    lines = plain_table(("name", "ms"), [("a\x1b[31m", "1"), ("b", "10")], words=("name",)).splitlines()
    assert lines == ["name    ms", "a [31m   1", "b       10"]


def test_losses() -> None:
    text = losses_in_columns(find_losses(make_table()))
    assert "Where tvmopt tuned loses most time against the best peer:" in text
    line = next(line for line in text.splitlines() if line.startswith("conv +1"))
    assert "1×3×16×16, 8×3×3×3 → 1×8×16×16" in line
    assert line.split("1×8×16×16")[-1].split() == (
        [
            "FP32",
            "0.000113",
            "0.0121",
            "0.0100",
            "ONNX",
            "Runtime",
            "0.00800",
            "+0.002",
            "11",
            "%",
            "conv2d_nchwc",
            "tile=4×4",
        ]
    )
    empty = replace(make_table(), entries={})
    assert losses_in_columns(find_losses(empty)) == "No profile of tvmopt.\n"


def test_markdown_has_the_rows_that_lose_most(layered: Comparison) -> None:
    text = render_markdown([layered])
    assert "### Layer by layer: batch 1, 2 threads" in text
    assert "| conv +1 | 1×3×16×16, 8×3×3×3 → 1×8×16×16 | FP32 | 0.000113 | 0.0121 | 0.0100 | ONNX Runtime |" in text


def test_plots() -> None:
    pytest.importorskip("matplotlib")
    titles = [plot.title for plot in draw_layer_plots(make_table(), "salt")]
    assert titles == ["The heaviest layers", "Roofline of tvmopt tuned", "Where the time of tvmopt tuned goes"]
    bars, roofline, pie = draw_layer_plots(make_table(), "salt")
    assert ">+0.002<" in bars.svg
    assert ">peak 100 GFLOP/s<" in roofline.svg
    assert ">L1 400 GB/s<" in roofline.svg
    assert ">memory 20.0 GB/s<" in roofline.svg
    assert ">GlobalAveragePool 12.9 % (0.00200 ms)<" in " ".join(pie.svg.split())


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({"roofline": None}, 2),
        ({"entries": {}}, 0),
        ({"entries": {"tvmopt": NoProfile("failed", "crashed")}}, 0),
        ({"entries": {"onnxruntime": profile(("conv", 2))}}, 1),
        ({"entries": {"tvmopt": profile(("conv", 0))}}, 2),
        ({"costs": {}}, 2),
        ({"order": ()}, 0),
    ],
)
def test_tables_with_holes_are_shown(change: dict[str, object], count: int, bare: Comparison) -> None:
    pytest.importorskip("matplotlib")
    table: LayerTable = replace(make_table(), **change)  # type: ignore[arg-type]
    assert len(draw_layer_plots(table, "salt")) == count
    assert Outline(render_page([replace(bare, layers=(table,))])).open == []
    assert render_markdown([replace(bare, layers=(table,))])


def test_page(layered: Comparison) -> None:
    pytest.importorskip("jinja2")
    outline = Outline(render_page([layered]))
    assert outline.open == []
    for words in (
        *("Layer by layer: batch 1, 2 threads", "GlobalAveragePool", "Inside and outside layers", "conv2d_nchwc"),
        *("its kernels cannot be told apart", "The heaviest layers", "Roofline of tvmopt tuned", "tile=4×4"),
    ):
        assert words in outline.text, words
    assert outline.tags.count("svg") == 5 + 3
    keys = [float(value) for name, value in outline.attributes if name == "data-key"]
    assert min(abs(key - 0.01) for key in keys) < 1e-9
    assert ("title", "conv\nrelu") in outline.attributes


def test_the_page_needs_nothing_else(bare: Comparison) -> None:
    other = replace(make_table(), threads=1)
    outline = Outline(render_page([replace(bare, layers=(make_table(), other))]))
    assert outline.tags.count("script") == 1
    assert not {"link", "img", "iframe"} & set(outline.tags)
    addresses = [value for name, value in outline.attributes if name in ("src", "href", "xlink:href")]
    assert all(address.startswith("#") for address in addresses)


def test_text_from_files_stays_text(bare: Comparison) -> None:
    evil = replace(bare, layers=(renamed(make_table(), EVIL),))
    outline = Outline(render_page([evil]))
    assert outline.open == []
    assert outline.tags.count("script") == 1  # our own
    assert "img" not in outline.tags
    assert not [name for name, _ in outline.attributes if name.startswith("on")]
    assert EVIL in outline.text
    assert ("title", f"{EVIL}\nrelu") in outline.attributes
    assert "<script>" not in render_markdown([evil])


@pytest.mark.parametrize("name", ["", "\x1b[31m\n\x00 red", "層" * 3, "\N{FIRE}", "_x", "n" * 5000])
def test_odd_names(name: str, bare: Comparison) -> None:
    pytest.importorskip("matplotlib")
    odd = replace(bare, layers=(renamed(make_table(), name),))
    assert Outline(render_page([odd])).open == []
    assert "\x1b" not in losses_in_columns(find_losses(odd.layers[0]))
