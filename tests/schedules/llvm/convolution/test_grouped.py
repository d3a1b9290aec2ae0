from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.schedules.llvm.convolution.test_direct import torch_convolution
from tvmopt.schedules.expression import ACC, Arg, call
from tvmopt.schedules.llvm.convolution.conv2d import Convolution
from tvmopt.schedules.llvm.convolution.grouped.lanes import Arrangement
from tvmopt.schedules.llvm.convolution.grouped.windows import Windows
from tvmopt.schedules.llvm.convolution.shape import shape_of
from tvmopt.schedules.race import ALGORITHM
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor, Workload

PADDED: dict[str, Any] = {"kernel": (3, 3), "pads": (1, 1, 1, 1)}

# Data, channels of the output, groups. Most maps are odd, and most channels fill no vector.
SHAPES: dict[str, tuple[tuple[int, int, int, int], int, int, dict[str, Any]]] = {
    "13 groups of 8": ((1, 104, 5, 7), 104, 13, PADDED),
    "half a vector, two images, stride": ((2, 40, 9, 7), 40, 5, {**PADDED, "strides": (2, 2)}),
    "groups of 4": ((1, 20, 5, 7), 20, 5, {"kernel": (3, 2), "pads": (1, 1, 1, 1), "halo": (1, 0, 2, 1)}),
    "groups of 3": ((1, 27, 6, 11), 18, 9, {"kernel": (3, 3), "pads": (0, 1, 2, 1), "strides": (1, 2)}),
    "groups of 2, dilated": ((1, 26, 9, 8), 26, 13, {**PADDED, "dilations": (2, 3)}),
    "several results from each channel": ((1, 21, 6, 5), 42, 21, {"kernel": (5, 3), "pads": (2, 1, 2, 1)}),
    "one result from each group": ((1, 36, 5, 6), 9, 9, PADDED),
    "groups of 24": ((1, 72, 5, 7), 72, 3, {**PADDED, "margin": (1, 0, 2, 1)}),
    "groups of 40 and 28": ((1, 120, 4, 5), 84, 3, PADDED),
    "groups of 7": ((1, 35, 4, 23), 35, 5, {"kernel": (1, 3), "pads": (0, 1, 0, 1)}),
    "1x1": ((2, 10, 6, 11), 30, 5, {}),
    "1x1 of groups of 24 with a stride": ((1, 48, 7, 7), 48, 2, {"strides": (2, 2)}),
    "one row": ((1, 40, 1, 23), 40, 5, {"kernel": (1, 5), "pads": (0, 2, 0, 2), "halo": (0, 1, 0, 1)}),
}


def every_algorithm(workload: Workload, target: Target) -> list[Config]:
    """Each algorithm's default, and two more configs of it."""
    race = Convolution()
    space = race.space(workload, target)
    chosen = []
    for place, algorithm in enumerate(race.algorithms):
        if algorithm.accepts(workload, target):
            chosen.append(space.whole(place, algorithm.default(workload, target)))
            own = [config for config in space if config[ALGORITHM] == place]
            chosen += [own[len(own) // 3], own[-1]]
    return chosen


@pytest.mark.sweep
@pytest.mark.parametrize("name", SHAPES)
def test_computes_what_torch_does(
    kernels: Any, inputs_of: Any, target: Target, convolution: Callable[..., Workload], name: str
) -> None:
    data, channels, groups, options = SHAPES[name]
    workload = convolution(data, channels, groups=groups, **options)
    arrays = inputs_of(workload)
    configs = every_algorithm(workload, target)
    kernels.unoptimized().check(workload, configs, arrays, torch_convolution(workload, arrays))


def test_epilogue_adds_bias_and_residual(
    kernels: Any, inputs_of: Any, target: Target, convolution: Callable[..., Workload]
) -> None:
    lanes = target.lanes("float32")
    extra = (Tensor((1, 20, 1, 1), block=lanes), Tensor((1, 20, 5, 7), block=lanes, halo=(1, 1, 2, 0)))
    epilogue = call("sigmoid", call("add", call("add", ACC, Arg(2)), Arg(3)))
    workload = convolution((1, 20, 5, 7), 20, groups=10, extra=extra, epilogue=epilogue, **PADDED)
    arrays = inputs_of(workload)
    expected = 1 / (1 + np.exp(-(torch_convolution(workload, arrays) + arrays[2] + arrays[3])))
    kernels.unoptimized().check(workload, every_algorithm(workload, target), arrays, expected)


def test_shuffles_keep_nan_in_its_group(kernels: Any, inputs_of: Any, target: Target, convolution: Any) -> None:
    workload = convolution((1, 24, 5, 7), 24, groups=12, **PADDED)
    place, shuffled = next((i, a) for i, a in enumerate(Convolution.algorithms) if a.name == "shuffled")
    config = Convolution().space(workload, target).whole(place, shuffled.default(workload, target))
    arrays = inputs_of(workload)
    arrays[0][0, 3] = np.nan
    (memory,) = kernels.unoptimized().run(workload, arrays, [config])
    result = workload.output.restore(memory)
    assert np.isnan(result[:, 2:4]).all()
    assert np.isfinite(np.delete(result, (2, 3), axis=1)).all()


def test_narrow_groups_are_shuffled_and_wide_ones_windowed(target: Target, convolution: Any) -> None:
    lanes = target.lanes("float32")
    for width, name in ((lanes // 4, "shuffled"), (lanes // 2, "shuffled"), (lanes * 3 // 2, "windowed")):
        workload = convolution((1, 6 * width, 14, 14), 6 * width, groups=6, **PADDED)
        template = template_for(workload, target)
        if width > 1:
            assert template.algorithm(template.default(workload, target)).name == name, width


def test_groups_that_fill_vectors_stay_direct(target: Target, convolution: Any) -> None:
    lanes = target.lanes("float32")
    workload = convolution((1, 4 * lanes, 9, 9), 4 * lanes, groups=2, **PADDED)
    assert {config[ALGORITHM] for config in Convolution().space(workload, target)} == {0}


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(8, 8, 13), (24, 24, 3), (3, 2, 9), (40, 28, 3), (1, 2, 21)])
def test_windows_and_lanes_hold_every_channel_of_their_groups(
    wide: Any, inputs: int, outputs: int, groups: int
) -> None:
    workload = wide(16, (1, groups * inputs, 4, 4), groups * outputs, groups=groups)
    arrangement = Arrangement.of(shape_of(workload), 16)
    for width in (16, 32):
        windows = Windows.of(workload, width)
        for output in range(groups * outputs):
            first = int(windows.first(output // width)) * windows.unit
            stop = first + int(windows.count(output // width)) * windows.unit
            needed = range(output // outputs * inputs, (output // outputs + 1) * inputs)
            assert first <= needed[0]
            assert needed[-1] < stop <= groups * inputs
            assert stop - first <= windows.most * windows.unit
    for output in range(groups * outputs):
        block, lane = divmod(output, 16)
        period, phase = divmod(block, arrangement.period)
        read = set()
        for step in range(inputs):
            blocks, places = arrangement.shuffle(phase, step)
            place, element = divmod(places[lane], 16)
            read.add((period * arrangement.blocks + blocks[place]) * 16 + element)
        assert read == set(range(output // outputs * inputs, (output // outputs + 1) * inputs))
