"""Measurement files: a round trip, and every way in which a file can be wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.layered import make_table
from tvmopt.benchmarks.measurements.files import from_document, read_comparisons, to_document, to_suite, write_document
from tvmopt.benchmarks.measurements.search import Search, Trial
from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.support.numeric_error import NumericError


def test_round_trip(comparison: Comparison, results: Path, tmp_path: Path) -> None:
    document = to_document(comparison)
    assert document == json.loads(results.read_text()) | {"schema_version": 6, "layers": [], "relative_error": "l2"}
    assert from_document(document) == comparison
    write_document(document, tmp_path / "copy.json")
    assert read_comparisons(tmp_path / "copy.json") == (comparison,)
    assert [path.name for path in tmp_path.iterdir()] == ["copy.json"]


def test_layers(comparison: Comparison) -> None:
    layered = replace(comparison, layers=(make_table(),))
    document = json.loads(json.dumps(to_document(layered)))
    assert from_document(document) == layered
    document["layers"][0]["costs"]["conv"]["flops"] = "many"
    with pytest.raises(ValueError, match=r"layers\[0\]: costs\['conv'\]: flops must be a number, got 'many'"):
        from_document(document)
    del document["layers"]
    with pytest.raises(ValueError, match="layers is missing"):
        from_document(document)


def test_a_file_of_version_1_has_no_layers(comparison: Comparison, results: Path) -> None:
    document = json.loads(results.read_text())
    assert document["schema_version"] == 1
    assert comparison.layers == ()
    assert from_document(document | {"layers": "whatever"}).layers == ()


def test_relative_errors_of_versions_1_and_2_are_ratios_of_norms(comparison: Comparison, results: Path) -> None:
    document = json.loads(results.read_text())
    assert comparison.relative_error == "l2"
    assert from_document(document | {"schema_version": 2, "layers": []}).relative_error == "l2"
    # Written again, the file keeps the old kind of error; new measurements use the new kind.
    assert from_document(to_document(comparison)).relative_error == "l2"
    now = to_document(replace(comparison, relative_error="largest"))
    assert (now["schema_version"], now["relative_error"]) == (6, "largest")
    assert from_document(now).relative_error == "largest"
    with pytest.raises(ValueError, match="relative_error must be one of largest, l2, got 'l1'"):
        from_document(now | {"relative_error": "l1"})
    del now["relative_error"]
    with pytest.raises(ValueError, match="relative_error is missing"):
        from_document(now)


def test_an_infinite_error_is_null(comparison: Comparison, tmp_path: Path) -> None:
    row = replace(comparison.measurements[0], output_error=NumericError(2.0, math.inf, 0.0))
    infinite = replace(comparison, measurements=(row,), verdicts=())
    write_document(to_document(infinite), tmp_path / "infinite.json")
    assert json.loads((tmp_path / "infinite.json").read_text())["measurements"][0]["output_error"] == {
        "max_abs": 2.0,
        "relative": None,
        "cosine": 0.0,
    }
    assert read_comparisons(tmp_path / "infinite.json") == (infinite,)


def test_a_suites_file(comparison: Comparison, tmp_path: Path) -> None:
    document = to_document(comparison)
    write_document(to_suite([document, document]), tmp_path / "suite.json")
    assert read_comparisons(tmp_path / "suite.json") == (comparison, comparison)
    del document["measurements"][1]["runtime"]
    write_document(to_suite([document]), tmp_path / "suite.json")
    with pytest.raises(InputFileError, match=r"comparisons\[0\]: measurements\[1\]: runtime is missing"):
        read_comparisons(tmp_path / "suite.json")


def searched(comparison: Comparison) -> Comparison:
    """`comparison` with a search in its first row."""
    trials = (
        Trial("threads", "1", "taken", 0.8, (0.7, 0.9)),
        Trial("fusion", "off", "no gain", 1.1, (0.9, 1.3)),
        Trial("streams", "2", "failed", message="crashed with SIGSEGV during load"),
    )
    search = Search({"threads": "1"}, 0.81, (0.75, 0.88), True, trials, 9, 12.5)
    first, *others = comparison.measurements
    protocol = {**comparison.protocol, "search": {"seconds": 20.0, "least_gain": 0.01}}
    return replace(comparison, measurements=(replace(first, search=search), *others), protocol=protocol)


def test_searches_are_kept(comparison: Comparison) -> None:
    document = json.loads(json.dumps(to_document(searched(comparison))))
    assert from_document(document) == searched(comparison)
    assert "search" not in document["measurements"][1]  # a row that was not searched


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("measurements", 0, "search", "found", "threads"), 1, "threads must be a string, got 1"),
        (("measurements", 0, "search", "ratio"), -1, "ratio must be above 0"),
        (("measurements", 0, "search", "interval"), [2, 1], "interval must be two numbers in rising order"),
        (("measurements", 0, "search", "trials", 0, "outcome"), "won", "outcome must be one of taken"),
        (("measurements", 0, "search"), 3, "search must be an object"),
        (("protocol", "search"), [], "search must be an object"),
        (("protocol", "search", "seconds"), "long", "seconds must be a number"),
    ],
)
def test_invalid_searches(comparison: Comparison, path: tuple[str | int, ...], value: Any, message: str) -> None:
    document = json.loads(json.dumps(to_document(searched(comparison))))
    set_field(*path, to=value)(document)
    with pytest.raises(ValueError, match=message):
        from_document(document)


def test_fps_is_batch_over_median_latency(comparison: Comparison) -> None:
    for row in comparison.measurements:
        if row.latency_s:
            assert row.fps == pytest.approx(row.batch / row.latency_s.median)
            assert row.to_json()["fps"] == row.fps


def test_every_promised_field_is_there(results: Path) -> None:
    row = json.loads(results.read_text())["measurements"][0]
    promised = {"runtime", "variant", "batch", "threads", "latency_s", "fps", "load_s", "first_run_s"}
    assert promised | {"peak_memory_bytes", "output_error", "settings", "status", "message"} <= set(row)
    assert {"median", "mean", "p50", "p90", "p99", "stdev", "samples", "interval"} <= set(row["latency_s"])
    assert set(row["output_error"]) == {"max_abs", "relative", "cosine"}


def set_field(*path: str | int, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def drop(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        place: Any = document
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_field("schema", to="other"), "its schema must be 'tvmopt-comparison'"),
        (set_field("schema_version", to=7), "schema_version is 7, but this tvmopt reads up to 6"),
        (set_field("protocol", "method", to="mean"), "method must be one of turns, dli, got 'mean'"),
        (set_field("protocol", "method", to="dli"), "iterations is missing"),
        (drop("environment"), "environment is missing"),
        (set_field("environment", "cpu", to=3), "cpu must be a string, got 3"),
        (set_field("measurements", to={}), r"measurements must be a list, got \{\}"),
        (set_field("measurements", to=[]), "measurements is empty"),
        (set_field("measurements", 0, to=3), r"measurements\[0\]: .* must be an object, got 3"),
        (set_field("measurements", 0, "status", to="fine"), r"measurements\[0\]: status must be one of ok, wrong"),
        (set_field("measurements", 1, "batch", to=0), r"measurements\[1\]: batch must be a whole number of at least 1"),
        (set_field("measurements", 0, "batch", to=True), "batch must be a whole number of at least 1, got True"),
        (set_field("measurements", 0, "latency_s", to=None), "does not go with latency_s None"),
        (set_field("measurements", 0, "latency_s", "median", to=-1), "median must be above 0, got -1"),
        (set_field("measurements", 0, "latency_s", "median", to=10**400), "median must be a number, got 1000"),
        (set_field("measurements", 0, "latency_s", "samples", to=[1.0]), "turns add up to 24, but there are 1 samples"),
        (set_field("measurements", 0, "latency_s", "interval", to=[2, 1]), "interval must be two numbers in rising"),
        (set_field("verdicts", 0, "verdict", to="better"), r"verdicts\[0\]: verdict must be one of faster"),
        (drop("measurements", 0, "output_error", "relative"), r"measurements\[0\]: relative is missing"),
        (set_field("measurements", 0, "output_error", "max_abs", to=-1), "max_abs must not be below 0, got -1"),
        (set_field("measurements", 0, "output_error", "cosine", to=None), "cosine must be a number, got None"),
        (drop("verdicts", 0, "ratio"), r"verdicts\[0\]: ratio is missing"),
    ],
)
def test_wrong_files(change: Callable[[dict[str, Any]], None], message: str, results: Path, tmp_path: Path) -> None:
    document = json.loads(results.read_text())
    change(document)
    path = tmp_path / "wrong.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputFileError, match=message) as caught:
        read_comparisons(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not JSON \(line 1"),
        (b'{"schema": ', r"not JSON \(line 1"),
        (b"\xff\xfe", "not a measurement file"),
        (b"[]", "it is not a comparison"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"schema": "tvmopt-comparison", "schema_version": NaN}', "schema_version must be a whole number"),
    ],
)
def test_a_file_that_is_not_json(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=message):
        read_comparisons(path)


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="No such file"):
        read_comparisons(tmp_path / "none.json")
    with pytest.raises(InputFileError, match="Is a directory"):
        read_comparisons(tmp_path)


def test_a_number_json_cannot_hold_leaves_no_file(comparison: Comparison, tmp_path: Path) -> None:
    document = to_document(comparison)
    document["measurements"][0]["fps"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_document(document, tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


def test_a_row_without_latency_must_say_so() -> None:
    with pytest.raises(ValueError, match="does not go with"):
        Measurement("onnxruntime", "FP32", 1, 1, "ok")
