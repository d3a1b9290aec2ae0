"""Which weights leave 16 bits when products are added there, and what becomes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tests.workloads.integers import narrow_weights
from tvmopt.schedules.llvm.convolution.integers.corrections import corrected, facts_of
from tvmopt.schedules.llvm.parts.products import fit
from tvmopt.schedules.target import parse_target

AVX2 = parse_target("x86-64-v3", 1)
S16 = (-32768, 32767)


def quads(seed: int, count: int, largest: int) -> np.ndarray:
    """Weights, most of them large: (vectors, lanes, quads, KH, KW, 4)."""
    random = np.random.default_rng(seed)
    drawn = random.integers(-largest, min(largest, 127) + 1, (2, 8, count, 3, 2, 4))
    drawn[0, 0, 0, 0, 0], drawn[0, 1, 0, 0, 0] = -largest, min(largest, 127)
    return drawn.astype(np.int8)


KINDS = [(2, 64, 1), (2, 64, 2), (2, 64, 5), (2, 64, 6), (1, 128, 1), (1, 128, 3)]
"""Quads of a step, the largest weight, and how many quads there are."""


@pytest.mark.parametrize(("together", "largest", "count"), KINDS)
def test_steps_stay_within_16_bits_for_all_data(together: int, largest: int, count: int) -> None:
    found = corrected(quads(count, count, largest), together)
    rest = -count % together
    padded = np.pad(found.quads.astype(np.int64), ((0, 0), (0, 0), (0, rest), (0, 0), (0, 0), (0, 0)))
    sums = padded.reshape(2, 8, -1, together, 3, 2, 2, 2)
    for data in itertools.product((0, 255), repeat=2 * together):
        four = np.array(data).reshape(together, 1, 1, 1, 2)
        added = (sums * four).sum(axis=(3, -1))
        assert added.min() >= S16[0] and added.max() <= S16[1]  # noqa: PT018
    for each in found.rest.astype(np.int64).reshape(-1, 2):
        assert max(each[each > 0].sum(), -each[each < 0].sum()) * 255 <= S16[1]


@pytest.mark.parametrize(("together", "largest", "count"), KINDS)
def test_nothing_is_lost(together: int, largest: int, count: int) -> None:
    weights = quads(count, count, largest)
    found = corrected(weights, together)
    whole = found.quads.astype(np.int64)
    for (vector, quad, row, column), rest in zip(found.steps, found.rest, strict=True):
        assert rest.any()
        whole[vector, :, quad, row, column] += rest
    assert np.array_equal(whole, weights)
    assert (np.diff(found.steps[:, 0]) >= 0).all()
    assert (len(found.steps) > 0) == (count > 1 or together == 1)


def test_neighbours_fit() -> None:
    one = np.zeros((1, 5, 1, 1), np.int8)
    for pair, fits in (((127, 1), 1), ((127, 2), 0), ((-128, 127), 1), ((-128, -1), 0), ((64, 64), 1), ((0, -128), 1)):
        one[0, 2:4, 0, 0] = pair
        assert fit(one) == bool(fits), pair
    one[0, 2:4, 0, 0] = 0
    one[0, 1:3, 0, 0] = 127
    assert fit(one), "these are no neighbours"
    one[0, 4] = -128
    assert fit(one)


def test_facts_are_of_few_kinds() -> None:
    small = np.full((16, 32, 3, 3), 32, np.int8)
    assert facts_of(AVX2, small) == {"pairs_fit": 1, "corrections": 0}
    some = narrow_weights((16, 64, 3, 3))
    found = facts_of(AVX2, some)
    assert found["corrections"] in [1 << n for n in range(12)]
    assert facts_of(AVX2, np.full((16, 32, 3, 3), 64, np.int8)) == {"pairs_fit": 1}
    assert facts_of(AVX2, np.full((16, 32, 3, 3), 65, np.int8)) == {}
    small[3, 7, 1, 1] = small[3, 6, 1, 1] = 127
    assert facts_of(AVX2, small) == {"corrections": 1}


def test_there_are_no_facts_where_an_instruction_adds_four_products() -> None:
    assert facts_of(replace(AVX2, features=("avx_vnni",)), np.zeros((8, 8, 1, 1), np.int8)) == {}
