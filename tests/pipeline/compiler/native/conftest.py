"""Programs, hand-written or compiled from tiny models, as libraries in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.artifact.native_library import NativeLibrary, reserve
from tvmopt.pipeline.compiler.arena import plan_arena
from tvmopt.pipeline.compiler.build import plan_calls
from tvmopt.pipeline.compiler.kernels.runtime import runtime_objects
from tvmopt.pipeline.compiler.native.link import compile_kernel, link
from tvmopt.pipeline.compiler.native.tables import lay_out_weights, weights_block, write_tables
from tvmopt.pipeline.compiler.program import Program, View, program_of
from tvmopt.pipeline.support.cache import Cache
from tvmopt.schedules.target import parse_target

SHAPE = (64, 33)
WEIGHTS = np.arange(SHAPE[1], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Built:
    """A library with its program and files; `open` loads it."""

    library: bytes
    weights: np.ndarray
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]

    def open(self, threads: int = 2) -> NativeLibrary:
        """The library in this process."""
        weights = reserve(self.weights.nbytes)
        weights[:] = self.weights
        return NativeLibrary(self.library, weights, (self.inputs, self.outputs), threads)


def specs(what: str, views: tuple[View, ...]) -> tuple[dict[str, Any], ...]:
    """Inputs or outputs as a manifest lists them."""
    return tuple({"name": f"{what}{i}", "shape": list(v.shape), "dtype": v.dtype} for i, v in enumerate(views))


def parallel_kernel(*stages: Any) -> Any:
    """A kernel of tensors, inputs first; the rows of each result are divided among threads.

    Intermediate results before the last tensor are in scratch memory.
    """
    import tvm
    from tvm import te

    schedule = tvm.s_tir.Schedule(te.create_prim_func(list(stages)))
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        schedule.parallel(schedule.get_loops(block)[0])
    return schedule.mod["main"]


def add_and_double(weights: np.ndarray = WEIGHTS) -> tuple[Any, Program]:
    """A module of two kernels and its program: ``(2 (x + w), x, w)`` of an x of `SHAPE`."""
    from tvm import relax, te

    tall, wide = te.placeholder(SHAPE, "float32"), te.placeholder(SHAPE[1:], "float32")
    half = te.compute(SHAPE, lambda i, j: tall[i, j] * 0.5 + wide[j] * 0.5)
    add = parallel_kernel(tall, wide, te.compute(SHAPE, lambda i, j: half[i, j] + half[i, j]))
    double = parallel_kernel(tall, te.compute(SHAPE, lambda i, j: tall[i, j] * 2.0))

    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(SHAPE, "float32"))
    constant = relax.const(weights)
    with builder.function("main", [x]):
        with builder.dataflow():
            sum_ = builder.emit(relax.call_tir(builder.add_func(add, "add"), [x, constant], x.ty))
            twice = builder.emit(relax.call_tir(builder.add_func(double, "double"), [sum_], x.ty))
            result = builder.emit_output(relax.Tuple([twice, x, constant]))
        builder.emit_func_output(result)
    module = builder.get()
    program = program_of(plan_calls(module, parse_target("llvm", 2)))
    assert program is not None
    return module, program


def build(module: Any, program: Program) -> Built:
    """Compiles and links `program`, whose kernels are in `module`."""
    target = parse_target("llvm", 2)
    names = dict.fromkeys(call.kernel for call in program.calls)
    kernels = [compile_kernel(name, module[name], target, checked=True) for name in names]
    (weights,) = lay_out_weights(program)
    library = link(
        kernels, write_tables(program, plan_arena(program), weights), runtime_objects("g++", Cache(None)), "g++"
    )
    return Built(library, weights_block((weights,)), specs("x", program.inputs), specs("y", program.outputs))


@pytest.fixture(scope="session")
def built() -> Built:
    """`add_and_double`."""
    return build(*add_and_double())


@pytest.fixture(scope="session")
def other() -> Built:
    """`add_and_double` with other weights."""
    return build(*add_and_double(WEIGHTS + 1))


@pytest.fixture(scope="session")
def broken() -> Built:
    """`add_and_double` with tables that give the second kernel a tensor of the wrong shape."""
    module, program = add_and_double()
    first, second = program.calls
    taken, made = second.arguments
    wrong = replace(second, arguments=(replace(taken, shape=(SHAPE[0] - 1, SHAPE[1])), made))
    return build(module, replace(program, calls=(first, wrong)))


@pytest.fixture
def expected() -> Callable[..., tuple[np.ndarray, ...]]:
    """The expected outputs of `add_and_double`."""
    return lambda x, weights=WEIGHTS: (2 * (x + weights), x, weights)
