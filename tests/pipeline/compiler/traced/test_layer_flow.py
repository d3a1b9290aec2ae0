"""Calls between known points are identified by their neighbours."""

from __future__ import annotations

import pytest

from tvmopt.pipeline.compiler.traced.layer_flow import CONSTANT, Flow, Inner, Value, same_neighbours, united


def given(number: int) -> Value:
    return frozenset({("input", number)})


def diamond(order: str) -> tuple[Inner, ...]:
    """Two inputs ``a`` and ``b``, and a node that reads both and gives an output, added in some order."""
    flow = Flow()
    made = {name: flow.inner([given("ab".index(name))]) for name in order}
    both = flow.inner([made["a"], made["b"], CONSTANT])
    flow.sink(("output", 0, 0), both)
    return flow.traced()


def test_sources_and_sinks() -> None:
    a, b, both = diamond("ab")
    assert (a.sources, b.sources, both.sources) == (given(0), given(1), given(0) | given(1))
    assert {one.sinks for one in (a, b, both)} == {frozenset({("output", 0, 0)})}
    assert {one.part for one in (a, b, both)} == {0}


def test_parts_that_are_not_connected() -> None:
    flow = Flow()
    first, second = flow.inner([given(0)]), flow.inner([given(0)])
    third = flow.inner([united([second])])
    flow.sink(("node", 5, 1), first)
    flow.sink(("node", 5, 0), third)
    one, two, three = flow.traced()
    assert one.part != two.part == three.part
    assert one.part_sinks == {("node", 5, 1)}
    assert two.sinks == two.part_sinks == {("node", 5, 0)}


def test_neighbours_in_another_order() -> None:
    assert same_neighbours(diamond("ba"), diamond("ab")) == (1, 0, 2)


@pytest.mark.parametrize("others", [diamond("ab")[:2], (*diamond("ab")[:2], diamond("ab")[0])])
def test_neighbours_that_are_missing(others: tuple[Inner, ...]) -> None:
    assert same_neighbours(diamond("ab"), others) is None
