from __future__ import annotations

import pytest

from tvmopt.schedules.space import ConfigSpace, Knob, config_key

SPACE = ConfigSpace((Knob("rows", (1, 2, 4)), Knob("columns", (1, 3))), lambda c: c["rows"] * c["columns"] < 8)


def test_a_space_is_the_product_of_its_knobs_less_what_is_not_allowed() -> None:
    assert [(c["rows"], c["columns"]) for c in SPACE] == [(1, 1), (1, 3), (2, 1), (2, 3), (4, 1)]
    assert list(ConfigSpace(())) == [{}]


@pytest.mark.parametrize(
    ("config", "inside"),
    [
        ({"rows": 2, "columns": 3}, True),
        ({"columns": 3, "rows": 2}, True),
        ({"rows": 4, "columns": 3}, False),
        ({"rows": 3, "columns": 1}, False),
        ({"rows": 2}, False),
        ({"rows": 2, "columns": 3, "unroll": 1}, False),
    ],
)
def test_space_membership(config: dict[str, int], inside: bool) -> None:
    assert SPACE.contains(config) is inside


def test_every_config_of_a_space_is_in_it() -> None:
    assert all(SPACE.contains(config) for config in SPACE)


def test_keys_do_not_depend_on_the_order() -> None:
    assert config_key({"rows": 2, "columns": 3}) == config_key({"columns": 3, "rows": 2})
    assert config_key({"rows": 2}) != config_key({"rows": 3})


@pytest.mark.parametrize("values", [(), (1, 1)])
def test_knobs_need_distinct_values(values: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="'rows' needs distinct values"):
        Knob("rows", values)


def test_the_part_of_a_space_with_given_values() -> None:
    assert [dict(c) for c in SPACE.fixed({"columns": 3})] == [dict(c) for c in SPACE if c["columns"] == 3]
    assert list(SPACE.fixed({})) == list(SPACE)
    with pytest.raises(ValueError, match="'columns' needs distinct values"):
        SPACE.fixed({"columns": 2})
