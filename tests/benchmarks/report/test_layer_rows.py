"""Rows of a layer table: bytes of fused layers, the best peer, the time lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.benchmarks.layered import COSTS, ORDER, ROOFLINE, make_table, profile, spec
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.report.layer_rows import (
    LayerRow,
    make_rows,
    most_lost_to_peer,
    most_lost_to_roofline,
    ours_of,
    peers_of,
)


def by_layer(table: LayerTable) -> dict[str, LayerRow]:
    return {row.layers[0]: row for row in make_rows(table)}


def test_rows() -> None:
    rows = make_rows(make_table())
    assert [row.layers for row in rows] == [("conv", "relu"), ("pool",), ("flatten", "dense")]
    conv = rows[0]
    assert (conv.operator, conv.flops, conv.parameters) == ("Conv", 112_640, 216)
    assert conv.seconds["pytorch"] == pytest.approx(25e-6)
    assert (conv.ours, conv.peer) == ("tvmopt", "onnxruntime")
    assert conv.difference_s == pytest.approx(2e-6)
    assert conv.ratio == pytest.approx(10 / 8)
    assert [(kernel.kind, kernel.detail) for kernel in conv.kernels] == [("conv2d_nchwc", "tile=4×4")]
    assert [item.shape for item in conv.operands] == [(1, 3, 16, 16), (8, 3, 3, 3)]


def test_bytes_between_fused_layers_do_not_count() -> None:
    rows = by_layer(make_table())
    assert rows["conv"].nbytes == 3072 + 864 + 8192  # without the maps between convolution and ReLU
    assert rows["pool"].nbytes == 8192 + 32
    assert rows["flatten"].nbytes == 32 + 160 + 20  # a view's result was made outside the kernel, so it is read
    assert rows["conv"].intensity == pytest.approx(112_640 / 12_128)


def test_a_value_that_is_also_read_elsewhere_is_written() -> None:
    table = make_table()
    second = replace(COSTS[2], layer="other", inputs=(spec("maps", 1, 8, 16, 16),), outputs=(spec("more", 1, 8),))
    table = replace(table, order=(*ORDER, "other"), costs={**table.costs, "other": second})
    assert by_layer(table)["conv"].nbytes == 3072 + 864 + 8192 + 8192


def test_a_view_inside_a_kernel_moves_nothing() -> None:
    entries = {"tvmopt": profile(("pool flatten dense", 5))}
    rows = by_layer(replace(make_table(), entries=entries))
    assert rows["pool"].nbytes == 8192 + 160 + 20


def test_views_in_a_circle_end() -> None:
    costs = {name: replace(COSTS[3], layer=name) for name in ("a", "b")}
    costs["a"] = replace(costs["a"], inputs=(spec("y", 1),), outputs=(spec("x", 1),))
    costs["b"] = replace(costs["b"], inputs=(spec("x", 1),), outputs=(spec("y", 1),))
    (row,) = make_rows(LayerTable(1, 1, ("a", "b"), costs, None, {"tvmopt": profile(("a b", 1))}))
    assert row.nbytes == 0
    assert row.intensity is None
    assert row.roofline_share is None


def test_roofline() -> None:
    row = by_layer(make_table())["conv"]
    allowed_s = ROOFLINE.attainable_s(row.flops, row.nbytes)
    assert row.roofline_share == pytest.approx(allowed_s / 10e-6)
    assert row.over_roofline_s == pytest.approx(10e-6 - allowed_s)
    assert by_layer(replace(make_table(), roofline=None))["conv"].roofline_share is None


def test_integer_runtimes_and_our_own_are_no_peers() -> None:
    table = make_table()
    both = replace(table, entries={**table.entries, "tvmopt-untuned": profile(("conv relu", 1))})
    assert ours_of(both) == "tvmopt"
    assert peers_of(both) == ("pytorch", "onnxruntime")


def test_a_peer_without_time_for_required_work_is_not_the_best() -> None:
    table = make_table()
    entries = {**table.entries, "onnxruntime": profile(("", 9), ("pool", 1)), "openvino": profile(("", 9))}
    rows = by_layer(replace(table, entries=entries))
    assert rows["conv"].peer == "pytorch"
    assert rows["pool"].peer == "onnxruntime"


def test_without_ours() -> None:
    table = make_table()
    rows = make_rows(replace(table, entries={"onnxruntime": table.entries["onnxruntime"]}))
    assert rows
    assert {(row.ours, row.ours_s, row.difference_s, row.ratio) for row in rows} == {("", None, None, None)}
    assert most_lost_to_peer(rows) == []
    assert most_lost_to_roofline(rows) == []


def test_most_lost() -> None:
    rows = make_rows(make_table())
    assert [row.layers[0] for row in most_lost_to_peer(rows)] == ["conv"]
    assert [row.layers[0] for row in most_lost_to_roofline(rows)] == ["conv", "pool", "flatten"]
    assert len(most_lost_to_roofline(rows, 2)) == 2
