from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.workloads.attentions import attention, random_mask, with_mask
from tvmopt.schedules.compute.attention import Place
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.attention.attention import Attention
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Workload

SIZES = [
    *((1, 1, 1, 1, 1), (2, 37, 41, 5, 1), (3, 1, 131, 64, 64), (1, 67, 1, 16, 33), (2, 5, 300, 1, 7)),
    *((2, 32, 32, 64, 64), (1, 197, 197, 64, 64), (4, 13, 29, 40, 48)),
]


@pytest.mark.sweep
@pytest.mark.parametrize("sizes", SIZES)
def test_sizes(kernels: Any, sizes: tuple[int, int, int, int, int]) -> None:
    kernels.check(attention(*sizes))


@pytest.mark.sweep
@pytest.mark.parametrize("sizes", SIZES[:5])
def test_heads_before_rows(kernels: Any, sizes: tuple[int, int, int, int, int]) -> None:
    kernels.check(attention(*sizes, rows=False))


@pytest.mark.parametrize("sizes", [(2, 37, 150, 9, 21), (2, 150, 70, 16, 16)])
def test_every_corner_of_the_space(kernels: Any, sizes: tuple[int, int, int, int, int]) -> None:
    kernels.unoptimized().check(attention(*sizes), 20)


def test_parts_of_one_tensor(kernels: Any) -> None:
    workload = attention(3, 23, 23, 16, 16, packed=True)
    (array,) = {tensor: np.random.default_rng(0).standard_normal(tensor.shape) for tensor in workload.inputs}.values()
    kernels.check(workload, 0, [array.astype(np.float32)] * 3)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("guard", [0, 1])
def test_a_query_without_keys_is_nan_or_zero(kernels: Any, shared: bool, guard: int) -> None:
    workload = with_mask(19, 141, shared=shared, guard=guard)
    arrays = random_mask(workload)
    with np.errstate(invalid="ignore"):
        expected = reference(workload, arrays)
    assert np.isnan(expected).any() == (not guard)
    check_with_nan(kernels, workload, arrays, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_stay_in_their_query(kernels: Any, bad: float) -> None:
    workload = attention(2, 20, 130, 8, 8)
    arrays = [np.random.default_rng(0).standard_normal(t.shape, np.float32) for t in workload.inputs]
    arrays[0].reshape(20, 2, 8)[3, 1, 2] = bad
    with np.errstate(invalid="ignore"):
        expected = reference(workload, arrays)
    assert np.isnan(expected).sum() == 8
    check_with_nan(kernels, workload, arrays, expected)


def check_with_nan(kernels: Any, workload: Any, arrays: list[np.ndarray], expected: np.ndarray) -> None:
    """All spans of keys give the expected result, NaN included."""
    space = Attention().space(workload, kernels.target)
    configs = [config for config in space if config["vectors"] == 1]
    assert {config["span"] for config in configs} == {0, 64, 128}
    for made in kernels.run(workload, arrays, configs):
        np.testing.assert_allclose(made, expected, rtol=2e-5, atol=2e-6)


def test_operands_may_repeat(kernels: Any) -> None:
    """One value for each key, for each query (not next to each other), and for all."""
    inner = call("add", call("mul", call("add", ACC, Arg(3)), Arg(4)), Arg(5))
    places = (Place(0, (0,), 1, 0), Place(1, (0,), 0, 2), Place(0, (0,), 0, 0))
    kernels.check(attention(2, 21, 43, 4, 4, inner=inner, operands=places, sizes=(43, 42, 1)))


def test_extreme_scores_overflow_nowhere(kernels: Any) -> None:
    workload = attention(1, 9, 140, 4, 4)
    arrays = [np.random.default_rng(0).standard_normal(t.shape, np.float32) for t in workload.inputs]
    arrays[0] *= 1e3
    assert np.isfinite(reference(workload, arrays)).all()
    kernels.check(workload, 20, arrays)


@pytest.mark.parametrize("text", ["x86-64-v4", "x86-64-v3", "aarch64", "armv7"])
def test_there_is_a_default_for_every_size(text: str) -> None:
    target, template = parse_target(text, 4), Attention()
    for sizes in (*SIZES, (6, 1500, 1500, 64, 64), (1, 1, 100_000, 64, 64)):
        workload = attention(*sizes)
        config = template.default(workload, target)
        assert template.space(workload, target).contains(config)
        assert all(np.isfinite(template.features(workload, target, config)))


def test_a_result_with_gaps_is_refused(target: Target) -> None:
    workload = attention(2, 5, 5, 4, 4)
    attrs = dict(workload.attrs) | {"result": (0, 4, 16, 1)}
    other = type(workload)("attention", workload.inputs, workload.output, tuple(sorted(attrs.items())))
    assert Attention().accepts(workload, target)
    assert not Attention().accepts(other, target)


def with_reach(queries: int, keys: int, reach: int) -> tuple[Workload, list[np.ndarray]]:
    """An attention whose queries see no keys beyond their own number plus `reach`, and random inputs of it."""
    masked = with_mask(queries, keys)
    workload = replace(masked, attrs=tuple(sorted((*masked.attrs, ("reach", reach)))))
    arrays = random_mask(workload)
    hidden = np.arange(keys)[:, None] > np.arange(queries) + reach
    mask = np.where(hidden, -np.inf, np.random.default_rng(1).standard_normal((keys, queries), np.float32))
    return workload, [*arrays[:3], mask.astype(np.float32).reshape(-1)]


@pytest.mark.parametrize(("queries", "keys", "reach"), [(150, 150, 0), (37, 201, 164), (200, 131, 5)])
def test_hidden_spans_change_nothing(kernels: Any, queries: int, keys: int, reach: int) -> None:
    workload, arrays = with_reach(queries, keys, reach)
    kernels.unoptimized().check(workload, 4, arrays)


def test_hidden_spans_are_not_read(kernels: Any) -> None:
    """NaN in the values of the last keys reaches no query before their span."""
    workload, arrays = with_reach(150, 150, 0)
    arrays[2].reshape(150, -1)[140:] = np.nan
    (made,) = kernels.unoptimized().run(workload, arrays, [{"vectors": 1, "span": 64}])
    rows = np.isnan(made.reshape(150, -1)).any(1)
    assert not rows[:80].any()
    assert rows[140:].all()
    assert Attention().default(workload, kernels.target)["span"] == 64


def test_hidden_keys_are_estimated_as_work_that_is_left_out(target: Target) -> None:
    workload, template = with_reach(512, 512, 0)[0], Attention()
    all_keys = with_mask(512, 512)
    for span, least, most in ((64, 0.5, 0.7), (256, 0.7, 0.85), (0, 1.0, 1.0)):
        config = {"vectors": 1, "span": span}
        share = template.cycles(workload, target, config) / template.cycles(all_keys, target, config)
        assert least <= share <= most
