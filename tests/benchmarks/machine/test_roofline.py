"""The roofline: levels, the time they allow, the cached file, and one real measurement."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from tvmopt.benchmarks.machine import roofline
from tvmopt.benchmarks.machine.roofline import Roofline, cache_folder, measure_roofline
from tvmopt.benchmarks.machine.roofline_worker import Round, data_caches, levels, settled
from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import BuildError, UsageError
from tvmopt.schedules.target import parse_target

FOUR = Roofline(2, 100e9, ((32_000, 400e9), (1_000_000, 100e9), (8_000_000, 40e9), (1_000_000_000, 10e9)))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """The thread counts that were measured; every measurement returns the same numbers."""
    calls: list[int] = []

    def measure(threads: int) -> dict[str, Any]:
        calls.append(threads)
        facts = FOUR.to_json()
        del facts["threads"]
        return {**facts, "settled": threads != 3}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(roofline, "_measure", measure)
    return calls


@pytest.mark.parametrize(
    ("nbytes", "rate"),
    [(0, 400e9), (32_000, 400e9), (32_001, 100e9), (5_000_000, 40e9), (9_000_000, 10e9), (2_000_000_000, 10e9)],
)
def test_a_set_between_two_levels_takes_the_larger(nbytes: int, rate: float) -> None:
    assert FOUR.bandwidth_at(nbytes) == rate


def test_the_longer_of_computing_and_moving_counts() -> None:
    assert FOUR.attainable_s(100_000_000, 1_000_000) == pytest.approx(1e-3)
    assert FOUR.attainable_s(1_000, 1_000_000) == pytest.approx(1e-5)
    assert FOUR.attainable_s(0, 0) == 0.0


def test_json() -> None:
    assert Roofline.from_json(json.loads(json.dumps(FOUR.to_json()))) == FOUR


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 0},
        {"peak_flops": 0.0},
        {"peak_flops": float("nan")},
        {"bandwidth": []},
        {"bandwidth": [[2, 1.0], [1, 1.0]]},
        {"bandwidth": [[2, -1.0]]},
    ],
)
def test_impossible_rooflines(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be positive|needs levels"):
        Roofline.from_json({**FOUR.to_json(), **change})


def test_measured_once_for_each_number_of_threads(measured: list[int], tmp_path: Path) -> None:
    assert measure_roofline(2) == FOUR
    assert measure_roofline(2) == FOUR
    assert measure_roofline(1).threads == 1
    assert measured == [2, 1]
    assert cache_folder() == tmp_path / "tvmopt"
    assert len(list(cache_folder().iterdir())) == 2


def test_unsettled_measurements_are_not_kept(measured: list[int]) -> None:
    assert measure_roofline(3) == measure_roofline(3)
    assert measured == [3, 3]


@pytest.mark.parametrize(
    ("rounds", "verdict"),
    [
        ([Round(1.0, 0.5), Round(2.0, 1.0), Round(1.99, 1.0), Round(0.5, 1.0)], True),
        ([Round(2.0, 1.0), Round(1.89, 1.0)], False),
        ([Round(1.0, 1.0), Round(1.0, 1.0), Round(1.2, 1.0)], False),
        ([Round(2.0, 0.5), Round(2.0, 1.0)], False),
    ],
)
def test_settled_when_the_best_two_rounds_agree_undisturbed(rounds: list[Round], verdict: bool) -> None:
    assert settled(rounds) == verdict


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe", b"null", b'{"machine": 3, "roofline": {}}'])
def test_an_unreadable_file_is_measured_again(measured: list[int], content: bytes) -> None:
    measure_roofline(2)
    (path,) = cache_folder().iterdir()
    path.write_bytes(content)
    assert measure_roofline(2) == FOUR
    assert measured == [2, 2]
    measure_roofline(2)
    assert measured == [2, 2]


def test_measurements_of_another_machine_do_not_count(measured: list[int]) -> None:
    measure_roofline(2)
    (path,) = cache_folder().iterdir()
    kept = json.loads(path.read_bytes())
    kept["machine"]["cpu"] = "Another 1234"
    path.write_text(json.dumps(kept))
    measure_roofline(2)
    assert measured == [2, 2]


def test_without_a_folder_to_keep_it_in(measured: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tvmopt").touch()
    assert measure_roofline(2) == FOUR
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == Path.home() / ".cache" / "tvmopt"


def test_zero_threads_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1, got 0"):
        measure_roofline(0)


def test_a_failing_measurement_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(roofline, "_MODULE", "tvmopt.pipeline.no_such_program")
    with pytest.raises(
        BuildError, match="peak and bandwidth failed: .*No module named tvmopt.pipeline.no_such_program"
    ):
        measure_roofline(1)
    assert not list(tmp_path.iterdir())


def test_each_level_is_larger_than_the_one_before() -> None:
    for threads in (1, 2, 5):
        target = parse_target("llvm", threads)
        found = levels(target, LOCAL.facts())
        assert len(found) == len(data_caches(target, LOCAL.facts())) + 1
        for smaller, larger in itertools.pairwise(found):
            assert smaller.capacity < larger.capacity
            assert smaller.working_set < larger.working_set
        assert all(level.working_set <= level.capacity for level in found)


@pytest.mark.slow
def test_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    found = measure_roofline(1)
    rates = [rate for _, rate in found.bandwidth]
    # No real core does less than one multiply-add per cycle, and no memory is faster than the first cache.
    assert found.peak_flops > 1e9
    assert rates[0] > 2 * rates[-1] > 1e9
    if list(cache_folder().glob("*")):  # it has settled
        assert measure_roofline(1) == found
