"""Numbers as text."""

from __future__ import annotations

import pytest

from tvmopt.benchmarks.report import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1234.4, "1,234"),
        (999.6, "1,000"),
        (123.4, "123"),
        (12.34, "12.3"),
        (9.996, "10.0"),
        (1.2, "1.20"),
        (0.01234, "0.0123"),
        (0.0000123, "0.0000123"),
    ],
)
def test_significant(value: float, text: str) -> None:
    assert words.significant(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (12.0, "12.0 s"), (0.0123, "12.3 ms"), (4.56e-6, "4.56 µs"), (5e-9, "5.00 ns")]
)
def test_duration(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.0, "0"), (1.23e-7, "1.2e-7"), (0.137, "1.4e-1"), (3.0, "3.0e+0")]
)
def test_error(value: float | None, text: str) -> None:
    assert words.error(value) == text


def test_listing() -> None:
    assert words.listing(["a"]) == "a"
    assert words.listing(["a", "b", "c"]) == "a, b and c"


def test_sizes() -> None:
    assert words.mebibytes(None) == "–"
    assert words.mebibytes(3 * 2**20) == "3"
    assert words.size(48 * 1024) == "48 KiB"
    assert words.where(4, 1) == "batch 4, 1 thread"
