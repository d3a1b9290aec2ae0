"""The filters along an axis, against convolutions by their definition."""

from __future__ import annotations

import numpy as np
import pytest

from tvmopt.schedules.compute.phases import phases_of
from tvmopt.schedules.compute.winograd import (
    Filter,
    Matrix,
    filter_of,
    first_input,
    in_integers,
    transposed_filter,
)


def filtered(rule: Filter, kernel: Matrix, patch: Matrix) -> Matrix:
    return rule.output @ ((rule.kernel @ kernel) * (rule.data @ patch))


@pytest.mark.parametrize("tile", [2, 4, 6])
@pytest.mark.parametrize(("taps", "stride"), [(3, 1), (2, 1), (1, 1), (3, 2), (5, 2), (4, 3), (10, 5), (2, 3)])
def test_a_filter_convolves(tile: int, taps: int, stride: int) -> None:
    generator = np.random.default_rng(taps)
    rule = filter_of(tile, taps, stride)
    assert (rule.tile, rule.patch, rule.step) == (tile, (tile - 1) * stride + taps, tile * stride)
    kernel, patch = generator.standard_normal(taps), generator.standard_normal(rule.patch)
    windows = np.lib.stride_tricks.sliding_window_view(patch, taps)[::stride]
    assert np.allclose(filtered(rule, kernel, patch), windows @ kernel, rtol=0, atol=1e-12)


def test_fewer_multiplications() -> None:
    assert [filter_of(tile, 3).points for tile in (2, 4, 6)] == [4, 6, 8]
    assert [filter_of(tile, 3, 2).points for tile in (2, 4, 6)] == [5, 9, 13]
    assert transposed_filter(4, 4, phases_of(4, 2, 1, 1)).points == 10


@pytest.mark.parametrize("tile", [2, 4, 6])
@pytest.mark.parametrize(("taps", "stride", "pad"), [(4, 2, 1), (3, 2, 0), (5, 3, 2), (2, 3, 0), (16, 8, 4), (3, 1, 1)])
def test_a_transposed_filter_adds_what_each_input_reaches(tile: int, taps: int, stride: int, pad: int) -> None:
    generator = np.random.default_rng(taps)
    phases = phases_of(taps, stride, 1, pad)
    rule, begin = transposed_filter(tile, taps, phases), first_input(phases)
    assert (rule.tile, rule.step) == (tile * stride, tile)
    kernel, patch = generator.standard_normal(taps), generator.standard_normal(rule.patch)
    whole = np.zeros(1000)
    for place, value in enumerate(patch):
        # Far enough from the beginning that nothing is cut off.
        first = (place + begin) * stride - pad + 100
        whole[first : first + taps] += value * kernel
    assert np.allclose(filtered(rule, kernel, patch), whole[100 : 100 + rule.tile], rtol=0, atol=1e-12)


def test_only_as_large_as_there_are_points() -> None:
    with pytest.raises(ValueError, match="tiles of 9 taps have at most 0 outputs, got 2"):
        filter_of(2, 9)


@pytest.mark.parametrize(("tile", "multiples"), [(2, (4, 4)), (4, (576, 288, 144, 144))])
def test_filters_of_integers_convolve_exactly(tile: int, multiples: tuple[int, ...]) -> None:
    """Each result is a multiple of the convolution; what is transformed fits 16 bits for any bytes."""
    rule = filter_of(tile, 3)
    found = in_integers(rule, rule)
    assert found.multiples == multiples
    generator = np.random.default_rng(0)
    kernel = generator.integers(-128, 128, (3, 3))
    patch = generator.integers(0, 256, (rule.patch, rule.patch))
    moved = found.rows.kernel @ kernel @ found.columns.kernel.T
    data = found.rows.data @ patch @ found.columns.data.T
    made = found.rows.output @ (moved * data) @ found.columns.output.T
    windows = np.lib.stride_tricks.sliding_window_view(patch, (3, 3))
    assert np.array_equal(made, np.einsum("yxij,ij->yx", windows, kernel) * np.array(multiples))
    for matrix in (found.rows.kernel, found.rows.output, found.rows.data):
        assert np.array_equal(matrix, np.round(matrix))
    both = np.kron(found.rows.data, found.columns.data)
    assert 255 * max(np.maximum(both, 0).sum(axis=1).max(), np.maximum(-both, 0).sum(axis=1).max()) < 1 << 15
    assert 128 * np.abs(np.kron(found.rows.kernel, found.columns.kernel)).sum(axis=1).max() < 1 << 15


def test_no_integers_without_integers_in_the_data() -> None:
    with pytest.raises(ValueError, match="not transformed by integers"):
        in_integers(filter_of(6, 3), filter_of(6, 3))
