"""Layer tables as JSON: a round trip, and every way in which a file can be wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.benchmarks.layered import ORDER, make_table
from tvmopt.benchmarks.measurements.layer_table import LayerTable, NoProfile


def document() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(json.dumps(make_table().to_json()))
    return data


def test_round_trip() -> None:
    table = make_table()
    assert LayerTable.from_json(document()) == table
    assert list(table.profiles) == ["pytorch", "onnxruntime", "openvino-int8", "tvmopt"]
    assert table.absent == {"pytorch-compile": NoProfile("unavailable", "its kernels cannot be told apart")}


def test_fields_of_the_file() -> None:
    data = document()
    assert set(data) == {"batch", "threads", "order", "costs", "roofline", "profiles"}
    assert data["order"] == list(ORDER)
    assert data["costs"]["conv"]["outputs"] == [{"name": "maps", "shape": [1, 8, 16, 16], "dtype": "float32"}]
    assert data["profiles"]["tvmopt"]["kernels"][0]["layers"] == ["conv", "relu"]


def test_without_a_roofline() -> None:
    data = document()
    data["roofline"] = None
    assert LayerTable.from_json(data).roofline is None


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("batch",), 0, "batch must be a whole number of at least 1"),
        (("order",), ["conv", "conv"], "order must name every layer once, got 'conv' again"),
        (("order",), [3], "order must be a string, got 3"),
        (("costs",), [], r"costs must be an object, got \[\]"),
        (("costs", "conv"), 3, r"costs\['conv'\] must be an object"),
        (("costs", "conv", "layer"), "relu", r"costs\['conv'\]: layer must match its key, got 'relu'"),
        (("costs", "conv", "flops"), -1, r"costs\['conv'\]: flops must not be below 0"),
        (("costs", "conv", "flops"), 0.5, r"costs\['conv'\]: flops must be a whole number"),
        (("costs", "conv", "flops"), 10**400, r"costs\['conv'\]: flops must be a number"),
        (("costs", "conv", "read_bytes"), 2**64, r"costs\['conv'\]: read_bytes must be a whole number below 2\^63"),
        (("costs", "conv", "outputs", 0, "shape"), [1, "x"], r"costs\['conv'\]: shape must be a number, got 'x'"),
        (("roofline", "peak_flops"), 0, "peak_flops must be above 0"),
        (("roofline", "bandwidth"), [[1]], "bandwidth must be pairs"),
        (("roofline", "bandwidth"), [[1, -1.0]], "bandwidth must be above 0"),
        (("roofline", "bandwidth"), [], "needs levels of memory"),
        (("roofline", "bandwidth"), [[2, 1.0], [1, 1.0]], "needs levels of memory, the smallest first"),
        (("profiles", "tvmopt"), 3, r"profiles\['tvmopt'\] must be an object"),
        (("profiles", "tvmopt"), {"status": "failed"}, r"profiles\['tvmopt'\]: message is missing"),
        (("profiles", "tvmopt", "whole_s"), 0, r"profiles\['tvmopt'\]: whole_s must be above 0"),
        (("profiles", "tvmopt", "kernels", 0, "seconds"), -1, r"profiles\['tvmopt'\]: seconds must not be below 0"),
    ],
)
def test_wrong_tables(path: tuple[str | int, ...], value: Any, message: str) -> None:
    data = document()
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValueError, match=message) as caught:
        LayerTable.from_json(data)
    assert "\n" not in str(caught.value)
