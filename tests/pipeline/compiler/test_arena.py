"""Buffers in one block of memory: live buffers never overlap, and little more than the minimum is used."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from tvmopt.pipeline.compiler.arena import ALIGNMENT, Arena, plan_arena
from tvmopt.pipeline.compiler.build import plan_calls, schedule
from tvmopt.pipeline.compiler.lower import lower
from tvmopt.pipeline.compiler.program import CONSTANT, INPUT, WORK, Call, Program, View, program_of
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.schedules.target import parse_target


def rounded(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


def needed(program: Program) -> list[set[int]]:
    """By definition: the arena's live buffers during each call, and after the last one."""
    inputs = {number for number, place in enumerate(program.places) if place == INPUT}
    calls = [{view.buffer for view in call.arguments} for call in program.calls]
    calls.append({view.buffer for view in program.outputs})
    constants = {number for number, place in enumerate(program.places) if place == CONSTANT}
    return [
        (inputs | {n for n in set().union(*calls[: time + 1]) if any(n in later for later in calls[time:])}) - constants
        for time in range(len(calls))
    ]


def lower_bound(program: Program) -> int:
    """The most bytes live at one time."""
    sizes = program.sizes()
    return max(sum(rounded(sizes[number]) for number in live) for live in needed(program))


def check(program: Program, arena: Arena) -> None:
    """Nothing overlaps, everything is aligned and inside."""
    sizes = program.sizes()
    for live in needed(program):
        placed = []
        for number in live:
            offset = arena.offsets[number]
            assert offset is not None
            assert offset % ALIGNMENT == 0
            assert 0 <= offset <= offset + sizes[number] <= arena.nbytes
            placed.append((offset, offset + sizes[number]))
        for (_, end), (start, _) in itertools.pairwise(sorted(placed)):
            assert end <= start
    assert arena.nbytes <= sum(rounded(sizes[n]) for n, place in enumerate(program.places) if place != CONSTANT)


def random_program(seed: int) -> Program:
    """Calls that read random earlier results; some results are never used, some are outputs."""
    generator = random.Random(seed)
    places, sizes, calls = [], [], []

    def new(place: str) -> int:
        places.append(place)
        sizes.append(generator.choice((1, 4, 63, 64, 65, 1000, generator.randrange(1, 10**6))))
        return len(places) - 1

    def view(number: int) -> View:
        return View(number, 0, (sizes[number],), "uint8")

    inputs = [new(INPUT) for _ in range(generator.randrange(1, 4))]
    constants = [new(CONSTANT) for _ in range(2)]
    known = list(inputs)
    for _ in range(generator.randrange(0, 30)):
        taken = generator.choices(known[-4:] + inputs + constants, k=generator.randrange(1, 4))
        made = [new(WORK) for _ in range(generator.choice((1, 1, 2)))]
        calls.append(Call("kernel", tuple(view(number) for number in (*taken, *made)), 0))
        known += made
    outputs = generator.choices(known + constants, k=generator.randrange(1, 4))
    arrays = {number: np.zeros(sizes[number], np.uint8) for number in constants}
    return Program(tuple(calls), tuple(places), tuple(map(view, inputs)), tuple(map(view, outputs)), arrays)


@pytest.mark.parametrize("start", range(0, 300, 100))
def test_nothing_overlaps(start: int) -> None:
    for seed in range(start, start + 100):
        program = random_program(seed)
        check(program, plan_arena(program))


def test_inputs_live_throughout() -> None:
    """No buffer overlaps an input, even after its last use, because a run may be repeated."""
    for seed in range(100):
        program = random_program(seed)
        offsets, sizes = plan_arena(program).offsets, program.sizes()
        spans = [(offsets[n], sizes[n]) for n, place in enumerate(program.places) if place == INPUT]
        for number, (place, offset) in enumerate(zip(program.places, offsets, strict=True)):
            for start, size in spans if place == WORK and offset is not None else []:
                assert start is not None
                assert offset is not None
                assert offset + sizes[number] <= start or start + size <= offset


def test_a_chain_takes_two_buffers() -> None:
    views = [View(number, 0, (64,), "uint8") for number in range(11)]
    calls = tuple(Call("next", (views[i], views[i + 1]), 0) for i in range(10))
    program = Program(calls, (INPUT, *[WORK] * 10), (views[0],), (views[10],), {})
    assert plan_arena(program).nbytes == 3 * 64  # the input and two buffers


def test_nothing_to_place() -> None:
    constant = View(0, 0, (8,), "uint8")
    program = Program((), (CONSTANT,), (), (constant,), {0: np.zeros(8, np.uint8)})
    assert plan_arena(program) == Arena((None,), 0)


def test_constants_have_no_place() -> None:
    program = random_program(3)
    offsets = plan_arena(program).offsets
    assert all((offset is None) for place, offset in zip(program.places, offsets, strict=True) if place == CONSTANT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "squeezenet1_1"])
def test_real_networks_take_hardly_more_than_they_must(name: str, repository: Path) -> None:
    target = parse_target("llvm", 2)
    model = load_model(str(repository / "models" / f"{name}.py:build"))
    program = program_of(plan_calls(schedule(lower(bind(optimize(model, target)), {}), target), target))
    assert program is not None
    arena = plan_arena(program)
    check(program, arena)
    assert arena.nbytes <= 1.1 * lower_bound(program)
