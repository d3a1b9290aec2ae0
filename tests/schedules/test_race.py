"""Races of algorithms: one space with all their configs; each config goes to its algorithm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.llvm.convolution.conv2d import Convolution
from tvmopt.schedules.race import ALGORITHM
from tvmopt.schedules.registry import algorithm_of, template_for
from tvmopt.schedules.space import ConfigSpace, Knob, RaceSpace, config_key
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

WIDE = ConfigSpace((Knob("rows", (1, 2)), Knob("columns", (1, 4))), lambda c: c["rows"] * c["columns"] < 8)
TILED = ConfigSpace((Knob("rows", (2, 4)), Knob("tile", (2,))))
SPACE = RaceSpace.of("which", (WIDE, TILED))


def test_the_space_concatenates_its_parts() -> None:
    assert [dict(config) for config in SPACE] == [
        {"which": 0, "rows": 1, "columns": 1, "tile": 0},
        {"which": 0, "rows": 1, "columns": 4, "tile": 0},
        {"which": 0, "rows": 2, "columns": 1, "tile": 0},
        {"which": 1, "rows": 2, "columns": 0, "tile": 2},
        {"which": 1, "rows": 4, "columns": 0, "tile": 2},
    ]
    assert len({config_key(config) for config in SPACE}) == 5
    assert SPACE.knobs == (
        Knob("which", (0, 1)),
        Knob("rows", (1, 2, 4)),
        Knob("columns", (0, 1, 4)),
        Knob("tile", (0, 2)),
    )


@pytest.mark.parametrize(
    "config",
    [
        {"which": 0, "rows": 2, "columns": 4, "tile": 0},  # its own space does not allow it
        {"which": 0, "rows": 4, "columns": 1, "tile": 0},  # the other algorithm's rows
        {"which": 0, "rows": 1, "columns": 1, "tile": 2},  # a knob of another algorithm
        {"which": 2, "rows": 1, "columns": 1, "tile": 0},
        {"which": -1, "rows": 1, "columns": 1, "tile": 0},
        {"which": 0, "rows": 1, "columns": 1},
        {"rows": 1, "columns": 1},
        {},
    ],
)
def test_configs_outside_the_space(config: dict[str, int]) -> None:
    assert all(SPACE.contains(own) for own in SPACE)
    assert not SPACE.contains(config)


def test_an_algorithm_that_cannot_take_part() -> None:
    space = RaceSpace.of("which", (None, TILED))
    assert {config["which"] for config in space} == {1}
    assert space.knobs[0] == Knob("which", (1,))
    assert not space.contains({"which": 0, "rows": 2, "tile": 2})


@pytest.fixture(name="target")
def _target() -> Target:
    return parse_target("x86-64-v3", 2)


def convolution(target: Target, stride: int) -> Workload:
    lanes = target.lanes("float32")
    attrs = {"strides": (stride,) * 2, "pads": (1,) * 4, "dilations": (1, 1), "groups": 1}
    data = Tensor((1, 2 * lanes, 12, 12), block=lanes, halo=(1, 1, 1, 1))
    output = Tensor((1, 2 * lanes, 12 // stride, 12 // stride), block=lanes)
    weight = Tensor((2 * lanes, 2 * lanes, 3, 3))
    return Workload("conv2d", (data, weight), output, tuple(sorted(attrs.items())))


def test_only_algorithms_that_apply_take_part(target: Target) -> None:
    race = Convolution()
    for stride, able in ((1, {0, 1}), (2, {0, 1}), (3, {0})):
        workload = convolution(target, stride)
        assert {config[ALGORITHM] for config in race.space(workload, target)} == able
        assert race.space(workload, target).contains(race.default(workload, target))


def test_every_config_has_as_many_features_and_packs_as_it_says(target: Target) -> None:
    workload = convolution(target, 1)
    race = template_for(workload, target)
    assert isinstance(race, Convolution)
    weight = np.ones((16, 16, 3, 3), np.float32)
    lengths = set()
    for config in list(race.space(workload, target))[::40]:
        lengths.add(len(race.features(workload, target, config)))
        (shape,) = race.packed(workload, target, config).values()
        assert race.pack(workload, target, config, 1, weight).shape == shape
    assert lengths == {sum(algorithm.feature_count for algorithm in race.algorithms)}


def test_a_config_is_described_by_algorithm_and_its_own_knobs(target: Target) -> None:
    workload = convolution(target, 1)
    race = template_for(workload, target)
    told: dict[str, Any] = {}
    for config in race.space(workload, target):
        name, knobs = algorithm_of(race, workload, target, config)
        told[name] = set(knobs)
    assert set(told) == {"direct", "winograd"}
    assert "tile" in told["winograd"] - told["direct"]
    assert "columns" in told["direct"] - told["winograd"]
    assert all(ALGORITHM not in knobs for knobs in told.values())
