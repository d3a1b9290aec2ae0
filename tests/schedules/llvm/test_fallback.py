from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvmopt.schedules.llvm.fallback import schedule_rest
from tvmopt.schedules.target import Target, parse_target

Build = Callable[[Any, Any], Any]


def softmax(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x - x.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def padded(x: np.ndarray) -> np.ndarray:
    return np.pad(x, ((0, 0), (1, 1), (0, 0)))


def pad_and_sum(topi: Any, x: Any) -> Any:
    return topi.sum(topi.nn.pad(x, (0, 1, 0), (0, 1, 0)), axis=1)


def double_sum(topi: Any, x: Any) -> Any:
    return topi.multiply(topi.sum(topi.exp(x), axis=2), 2.0)


# The TVM function of an operator, the shapes of its inputs, and the expected result.
OPERATORS: dict[str, tuple[Build, list[tuple[int, ...]], Callable[..., np.ndarray]]] = {
    "whole vectors": (lambda topi, x: topi.nn.relu(x), [(4, 33, 64)], lambda x: np.maximum(x, 0)),
    "no whole vectors": (lambda topi, x: topi.nn.relu(x), [(4, 33, 65)], lambda x: np.maximum(x, 0)),
    "one dimension": (lambda topi, x: topi.nn.relu(x), [(16411,)], lambda x: np.maximum(x, 0)),
    "too small to divide": (lambda topi, x: topi.nn.relu(x), [(3, 5)], lambda x: np.maximum(x, 0)),
    "scalar": (lambda topi, x: topi.nn.relu(x), [()], lambda x: np.maximum(x, 0)),
    "two inputs": (
        lambda topi, x, y: topi.nn.relu(topi.add(x, y)),
        [(9, 31, 48), (48,)],
        lambda x, y: np.maximum(x + y, 0),
    ),
    "transpose": (lambda topi, x: topi.transpose(x, (0, 2, 1)), [(4, 33, 64)], lambda x: x.transpose(0, 2, 1)),
    "sum of columns": (lambda topi, x: topi.sum(x, axis=1), [(8, 37, 48)], lambda x: x.sum(axis=1)),
    "sum of rows": (lambda topi, x: topi.sum(x, axis=2), [(8, 37, 48)], lambda x: x.sum(axis=2)),
    "sum of all": (lambda topi, x: topi.sum(x), [(8, 37, 48)], lambda x: x.sum()),
    "maximum": (lambda topi, x: topi.max(x, axis=0), [(5, 1031)], lambda x: x.max(axis=0)),
    "sum of a pad": (pad_and_sum, [(8, 37, 48)], lambda x: padded(x).sum(axis=1)),
    "sum between functions": (double_sum, [(8, 37, 48)], lambda x: 2 * np.exp(x).sum(axis=2)),
    "softmax": (lambda topi, x: topi.nn.softmax(x), [(64, 130)], softmax),
    "place of the largest": (lambda topi, x: topi.argmax(x, axis=1), [(64, 128)], lambda x: x.argmax(axis=1)),
    "running sum": (lambda topi, x: topi.cumsum(x, axis=1), [(64, 128)], lambda x: x.cumsum(axis=1)),
    "sorting": (lambda topi, x: topi.sort(x, axis=1), [(32, 130)], lambda x: np.sort(x, axis=1)),
}


def module_of(name: str) -> Any:
    import tvm
    from tvm import te, topi

    build, shapes, _ = OPERATORS[name]
    inputs = [te.placeholder(shape, "float32", name=f"input{i}") for i, shape in enumerate(shapes)]
    function = te.create_prim_func([*inputs, build(topi, *inputs)])
    return tvm.IRModule({"main": function.with_attr("global_symbol", "main")})


@pytest.mark.sweep
@pytest.mark.parametrize("name", OPERATORS)
def test_computes_the_same(target: Target, name: str) -> None:
    import tvm

    module = schedule_rest(module_of(name), target)
    library = tvm.compile(module, target=tvm.target.Target(dict(target.tvm)))
    _, shapes, function = OPERATORS[name]
    random = np.random.default_rng(0)
    inputs = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
    expected = np.asarray(function(*inputs))
    made = tvm.runtime.tensor(np.zeros(expected.shape, "int32" if expected.dtype.kind == "i" else "float32"))
    library["main"](*(tvm.runtime.tensor(array) for array in inputs), made)
    np.testing.assert_allclose(made.numpy(), expected, rtol=2e-4, atol=2e-5)


def test_remainders_by_powers_of_two_are_right() -> None:
    """LLVM's loop vectoriser mistakes the remainder by four in the third dimension for the index itself."""
    import tvm
    from tvm import te, topi

    target = parse_target("llvm", 1)
    shape = [tvm.tirx.IntImm("int64", size) for size in (2, 3, 4, 5)]
    small = te.placeholder(shape, "float32", name="small")
    function = te.create_prim_func([small, topi.tile(small, (7, 6, 4, 2))]).with_attr("global_symbol", "main")
    module = schedule_rest(tvm.IRModule({"main": function}), target)
    library = tvm.compile(module, target=tvm.target.Target(dict(target.tvm)))
    array = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    made = tvm.runtime.tensor(np.zeros((14, 18, 16, 10), np.float32))
    library["main"](tvm.runtime.tensor(array), made)
    assert np.array_equal(made.numpy(), np.tile(array, (7, 6, 4, 2)))


def loops(module: Any, kind: str) -> list[int]:
    """Extents of the loops of a kind, outermost first."""
    import tvm_ffi
    from tvm import tirx

    found: list[int] = []
    wanted = int(getattr(tirx.ForKind, kind))

    def visit(loop: Any) -> None:
        if int(loop.kind) == wanted:
            found.append(int(loop.extent))

    tvm_ffi.structural_walk(module["main"].body, (tirx.For, visit), order="pre")
    return found


def scheduled(name: str, threads: int = 2) -> Any:
    return schedule_rest(module_of(name), parse_target("x86-64-v4", threads))


@pytest.mark.parametrize("name", OPERATORS)
def test_one_thread_has_nothing_to_divide(name: str) -> None:
    assert loops(scheduled(name, threads=1), "PARALLEL") == []


@pytest.mark.parametrize("name", ["whole vectors", "no whole vectors", "one dimension", "transpose", "sum of columns"])
def test_large_operators_are_divided_once(name: str) -> None:
    (extent,) = loops(scheduled(name), "PARALLEL")
    assert extent >= 8


def test_small_operators_are_not_divided() -> None:
    assert loops(scheduled("too small to divide"), "PARALLEL") == []


def test_neighbouring_elements_become_vectors() -> None:
    assert loops(scheduled("whole vectors"), "VECTORIZED") == [16]
    assert loops(scheduled("no whole vectors"), "VECTORIZED") == []
    # The start of the sum and its steps.
    assert loops(scheduled("sum of columns"), "VECTORIZED") == [16, 16]


def test_the_reduction_loop_is_outside_the_vector() -> None:
    text = str(scheduled("sum of columns")["main"])
    assert text.index("range(37)") < text.rindex("T.vectorized(16)")


def test_elementwise_blocks_join_their_reader() -> None:
    text = str(scheduled("two inputs")["main"])
    assert [line for line in text.splitlines() if "with T.sblock(" in line and '"root"' not in line] == [
        '                with T.sblock("compute"):'
    ]


def test_padding_stands_before_a_reduction() -> None:
    text = str(scheduled("sum of a pad")["main"])
    assert text.index("if_then_else") < text.index("range(39)", text.index("if_then_else"))
    assert text.count("if_then_else") == 1


def test_scheduled_functions_stay_unchanged() -> None:
    module = scheduled("whole vectors")
    before = str(module["main"])
    assert str(schedule_rest(module, parse_target("x86-64-v4", 1))["main"]) == before
