from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.workloads.recurrences import recurrence, tame_inputs
from tvmopt.schedules.compute.recurrent import GATES
from tvmopt.schedules.compute.reference import reference
from tvmopt.schedules.llvm.recurrent.recurrent import Recurrence
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import parse_target
from tvmopt.schedules.workload import Workload

SIZES = [(1, 1, 1), (2, 3, 7), (17, 1, 33), (5, 5, 16), (3, 2, 65)]
"""Steps, batch, hidden units."""
EVERYTHING = {"lstm": "initial_h initial_c peepholes", "gru": "bias initial_h", "rnn": "initial_h"}


def check(kernels: Any, workload: Workload, configs: Any = 0) -> None:
    kernels.check(workload, configs, tame_inputs(workload))


@pytest.mark.sweep
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", GATES)
def test_sizes(kernels: Any, kind: str, size: tuple[int, int, int]) -> None:
    steps, batch, hidden = size
    check(kernels, recurrence(kind, steps=steps, batch=batch, hidden=hidden, linear_before_reset=1))


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("kind", GATES)
def test_all_operands_in_both_directions(host: Any, kind: str, before: int) -> None:
    operands = EVERYTHING[kind] if before or kind != "gru" else "initial_h"
    options = {"linear_before_reset": before, "keeps_cell": int(kind == "lstm")}
    check(host, recurrence(kind, steps=4, batch=3, directions=2, hidden=37, operands=operands, **options))


@pytest.mark.parametrize("kind", GATES)
def test_backwards(host: Any, kind: str) -> None:
    check(host, recurrence(kind, direction="reverse", hidden=20))


@pytest.mark.parametrize("operands", ["initial_h", "initial_c", "peepholes"])
def test_one_operand_alone(host: Any, operands: str) -> None:
    check(host, recurrence(steps=3, hidden=18, operands=operands, keeps_cell=1))


@pytest.mark.parametrize(
    "attrs",
    [
        {"clip": 0.25},
        {"input_forget": 1},
        {"activations": "softplus relu sigmoid"},
        {"activations": "hardsigmoid:0.3:0.4 softsign scaledtanh:1.5:0.7", "keeps_cell": 1},
        {"activations": "affine:0.5:0.1 elu:0.8 leakyrelu:0.2"},
        {"activations": "sigmoid thresholdedrelu:0.3 tanh", "clip": 0.6},
        {"activations": "tanh sigmoid tanh", "clip": 1.0, "input_forget": 1, "keeps_cell": 1},
    ],
)
def test_attributes(host: Any, attrs: Any) -> None:
    check(host, recurrence(hidden=19, **attrs))


@pytest.mark.slow
@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("directions", [1, 2])
def test_every_corner_of_the_space(kernels: Any, kind: str, directions: int) -> None:
    operands = "initial_h" if kind == "gru" else ""
    hidden = kernels.target.lanes("float32") + 5
    workload = recurrence(kind, steps=3, batch=3, directions=directions, hidden=hidden, operands=operands)
    space = list(Recurrence().space(workload, kernels.target))
    halves = [[config for config in space if config["split"] == split] for split in (0, 1)]
    chosen = [half[place] for half in halves for place in (1, -1)]
    check(kernels.unoptimized(), workload, chosen)


def test_two_threads_share_a_large_state(host: Any) -> None:
    workload = recurrence(steps=17, hidden=256)
    default = Recurrence().default(workload, host.target)
    assert default["split"] == 1
    check(host, workload, [default] * 3)


def test_axes_divided_among_threads(host: Any) -> None:
    """Rows of the batch or directions if there are enough; nothing if the state is small."""
    template = Recurrence()

    def split(**sizes: int) -> int:
        return template.default(recurrence(**sizes), host.target)["split"]

    assert split(hidden=256) == 1
    assert split(hidden=256, directions=2) == 0
    assert split(hidden=16) == split(hidden=32) == 0


@pytest.mark.parametrize("text", ["x86-64-v4", "x86-64-v3", "aarch64", "armv7"])
@pytest.mark.parametrize("threads", [1, 4])
def test_there_is_a_default_for_every_size(text: str, threads: int) -> None:
    target, template = parse_target(text, threads), Recurrence()
    for kind in GATES:
        for steps, batch, hidden in (*SIZES, (128, 32, 1024)):
            for directions in (1, 2):
                workload = recurrence(kind, steps=steps, batch=batch, directions=directions, hidden=hidden)
                default = template.default(workload, target)
                space = template.space(workload, target)
                assert space.contains(default)
                lengths = {len(template.features(workload, target, config)) for config in (default, next(iter(space)))}
                assert len(lengths) == 1
                if threads == 1:
                    assert default["split"] == 0


def test_the_gates_of_a_tile_are_adjacent() -> None:
    target = parse_target("x86-64-v3", 1)
    workload = recurrence(hidden=19, directions=2)
    config: Config = {"rows": 1, "blocks": 2, "unroll": 1, "prefetch": 0, "split": 0}
    weights = np.arange(2 * 4 * 19 * 19, dtype=np.float32).reshape(2, 4 * 19, 19)
    packed = Recurrence().pack(workload, target, config, 1, weights)
    assert packed.shape == Recurrence().packed(workload, target, config)[1]
    second = packed[packed.size // 2 :]
    first_tile = second[: 19 * 4 * 16].reshape(19, 4, 16)
    np.testing.assert_array_equal(first_tile, weights[1].reshape(4, 19, 19)[:, :16].transpose(2, 0, 1))
    last_tile = second[19 * 4 * 16 :].reshape(19, 4, 8)
    np.testing.assert_array_equal(last_tile[..., :3], weights[1].reshape(4, 19, 19)[:, 16:].transpose(2, 0, 1))
    assert not last_tile[..., 3:].any()


def test_only_float32() -> None:
    template, workload = Recurrence(), recurrence()
    assert template.accepts(workload, parse_target("x86-64-v3"))
    halves = tuple(replace(tensor, dtype="float16") for tensor in workload.inputs)
    assert not template.accepts(replace(workload, inputs=halves), parse_target("x86-64-v3"))
    assert template.flops(workload) == 2 * 5 * 4 * 7 * 7


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("kind", GATES)
def test_the_same_projection_at_all_steps(host: Any, kind: str, split: int) -> None:
    whole = recurrence(kind, steps=5, batch=3, directions=2, hidden=37, keeps_cell=int(kind == "lstm"))
    once = replace(whole, inputs=(replace(whole.inputs[0], shape=(1, *whole.inputs[0].shape[1:])), *whole.inputs[1:]))
    configs = [config for config in Recurrence().space(once, host.target) if config["split"] == split]
    check(host, once, configs[:1])
    arrays = tame_inputs(once)
    repeated = [np.repeat(arrays[0], 5, 0), *arrays[1:]]
    np.testing.assert_array_equal(reference(once, arrays), reference(whole, repeated))
