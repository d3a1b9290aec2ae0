"""Modules as lists of calls; modules that cannot be one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tvmopt.pipeline.compiler.build import plan_calls, schedule
from tvmopt.pipeline.compiler.compile import build_library
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.lower import lower
from tvmopt.pipeline.compiler.native.link import compile_kernel, needs_tvm
from tvmopt.pipeline.compiler.program import CONSTANT, INPUT, WORK, Program, program_of
from tvmopt.pipeline.graph.optimize import optimize
from tvmopt.pipeline.graph.recognize import selection
from tvmopt.pipeline.tasks.bind import bind
from tvmopt.pipeline.types import ImportedModel
from tvmopt.schedules.target import parse_target

TARGET = parse_target("llvm", 2)
Result = Callable[..., Any]


def compiled(model: ImportedModel) -> Program | None:
    """The program of a model, as the compiler makes it."""
    return program_of(plan_calls(schedule(lower(bind(optimize(model, TARGET)), {}), TARGET), TARGET))


def written(build: Result) -> Program | None:
    """The program of ``main(x, z)``, with two float32 inputs of (2, 6); `build` writes the body and returns the result.

    `build` takes the builder, x, z, and a function that calls a kernel which adds 1 (one argument) or adds two tensors.
    """
    from tvm import relax, te

    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((2, 6), "float32"))
    z = relax.Var("z", relax.TensorType((2, 6), "float32"))

    def kernel(first: Any, second: Any = None) -> Any:
        if second is None:
            return builder.emit_te(lambda a: te.compute(a.shape, lambda *i: a(*i) + 1.0), first)
        return builder.emit_te(lambda a, b: te.compute(a.shape, lambda *i: a(*i) + b(*i)), first, second)

    with builder.function("main", [x, z]):
        with builder.dataflow():
            result = builder.emit_output(build(builder, x, z, kernel))
        builder.emit_func_output(result)
    return program_of(plan_calls(builder.get(), TARGET))


def places(program: Program | None) -> tuple[str, ...]:
    assert program is not None
    return program.places


def test_calls_with_the_buffers_that_they_write(model_from: Callable[[Mapping[str, Any]], ImportedModel]) -> None:
    weights = np.ones((8, 8, 3, 3), np.float32)
    nodes = [("Conv", "x w", "a"), ("Relu", "a", "b"), ("Conv", "b w", "y")]
    program = compiled(model_from({"nodes": nodes, "inputs": {"x": (1, 8, 12, 12)}, "constants": {"w": weights}}))
    assert program is not None
    written_so_far = {view.buffer for view in program.inputs}
    for call in program.calls:
        *taken, made = call.arguments
        for view in taken:
            assert view.buffer in written_so_far or program.places[view.buffer] == CONSTANT
        assert program.places[made.buffer] == WORK
        written_so_far.add(made.buffer)
    (output,) = program.outputs
    assert output.buffer in written_so_far
    assert output.shape == (1, 8, 8, 8)
    sizes = program.sizes()
    assert all(view.offset + view.nbytes <= sizes[view.buffer] for view in program.views())


def test_kernels_follow_each_other() -> None:
    program = written(lambda builder, x, z, kernel: kernel(kernel(x, z)))
    assert program is not None
    first, second = program.calls
    assert first.kernel != second.kernel
    assert [view.buffer for view in first.arguments] == [0, 1, 2]
    assert [view.buffer for view in second.arguments] == [2, 3]
    assert program.outputs == (second.arguments[-1],)
    assert program.places == (INPUT, INPUT, WORK, WORK)
    assert program.sizes() == [48] * 4


def test_a_reshape_is_a_view() -> None:
    from tvm import relax

    program = written(lambda builder, x, z, kernel: kernel(builder.emit(relax.op.reshape(kernel(x), (3, 4)))))
    assert program is not None
    made, read = program.calls[0].arguments[-1], program.calls[1].arguments[0]
    assert (made.buffer, made.offset, made.shape) == (2, 0, (2, 6))
    assert (read.buffer, read.offset, read.shape) == (2, 0, (3, 4))
    assert len(program.calls) == 2
    flat = written(lambda builder, x, z, kernel: builder.emit(relax.op.reshape(x, (12,))))
    assert places(flat) == (INPUT, INPUT)
    assert flat is not None
    assert flat.calls == ()
    assert flat.outputs[0].shape == (12,)


def test_equal_memory_is_one_constant() -> None:
    from tvm import relax

    array = np.arange(12, dtype=np.float32).reshape(2, 6)
    shared, other = relax.const(array), relax.const(array + 1)

    def build(builder: Any, x: Any, z: Any, kernel: Any) -> Any:
        return kernel(kernel(kernel(x, shared), other), shared)

    program = written(build)
    assert program is not None
    constants = [number for number, place in enumerate(program.places) if place == CONSTANT]
    assert constants == sorted(program.constants)
    assert len(constants) == 2
    taken = [call.arguments[1].buffer for call in program.calls]
    assert taken[0] == taken[2] != taken[1]
    np.testing.assert_array_equal(program.constants[taken[0]], array)
    np.testing.assert_array_equal(program.constants[taken[1]], array + 1)


def test_several_outputs_of_every_kind() -> None:
    from tvm import relax

    constant = relax.const(np.ones((2, 6), np.float32))

    def build(builder: Any, x: Any, z: Any, kernel: Any) -> Any:
        made = kernel(x)
        return relax.Tuple([made, x, constant, made, z])

    program = written(build)
    assert program is not None
    assert [program.places[view.buffer] for view in program.outputs] == [WORK, INPUT, CONSTANT, WORK, INPUT]
    assert program.outputs[0] == program.outputs[3]
    assert program.outputs[1] == program.inputs[0]
    assert program.outputs[4] == program.inputs[1]


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", "float64"])
def test_types_of_elements(model_from: Callable[[Mapping[str, Any]], ImportedModel], dtype: str) -> None:
    program = compiled(model_from({"nodes": [("Reshape", "x s", "y")], "inputs": {"x": (dtype, 2, 6)}, **SHAPE}))
    assert program is not None
    (output,) = program.outputs
    assert output.dtype == dtype
    assert output.nbytes == 12 * np.dtype(dtype).itemsize


SHAPE = {"constants": {"s": np.array([3, 4], np.int64)}}


def test_sorting_by_tvm_needs_its_runtime(
    model_from: Callable[[Mapping[str, Any]], ImportedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(selection.RULES, "TopK")
    topk = {"nodes": [("TopK", "x k", "y i")], "inputs": {"x": (2, 6)}, "outputs": "y i"}
    model = model_from({**topk, "constants": {"k": np.array([3], np.int64)}})
    module = schedule(lower(bind(optimize(model, TARGET)), {}), TARGET)
    program = program_of(plan_calls(module, TARGET))
    assert program is not None
    kernels = {call.kernel: compile_kernel(call.kernel, module[call.kernel], TARGET) for call in program.calls}
    assert any(map(needs_tvm, kernels.values()))
    with Forge() as forge:
        assert build_library(bind(optimize(model, TARGET)), {}, "g++", forge).weights is None


def test_other_operators_have_no_program() -> None:
    from tvm import relax

    def extern(builder: Any, x: Any, z: Any, kernel: Any) -> Any:
        return builder.emit(relax.call_dps_packed("of.somebody", [x], out_ty=x.ty))

    def shape(builder: Any, x: Any, z: Any, kernel: Any) -> Any:
        return builder.emit(relax.op.shape_of(x))

    assert written(extern) is None
    assert written(shape) is None
