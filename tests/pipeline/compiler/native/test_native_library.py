"""The runtime linked into models: right results whatever the threads do, and one-line errors."""

from __future__ import annotations

import gc
import os
import platform
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.compiler.native.conftest import SHAPE, WEIGHTS, Built
from tvmopt.pipeline.artifact.native_library import NativeLibrary, reserve
from tvmopt.pipeline.errors import BuildError, InputFileError
from tvmopt.pipeline.types import Step

Expected = Callable[..., tuple[np.ndarray, ...]]


def some(seed: int = 0) -> np.ndarray:
    """Integers as float32: sums are exact in any order."""
    return np.random.default_rng(seed).integers(-99, 99, SHAPE).astype(np.float32)


def run(library: NativeLibrary, x: np.ndarray) -> list[np.ndarray]:
    library.set_inputs([x])
    library.run()
    return library.outputs()


def check(library: NativeLibrary, x: np.ndarray, expected: tuple[np.ndarray, ...]) -> None:
    for made, right in zip(run(library, x), expected, strict=True):
        np.testing.assert_array_equal(made, right)


def thread_count() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_outputs(built: Built, expected: Expected, threads: int) -> None:
    before = thread_count()
    library = built.open(threads)
    assert thread_count() == before + threads - 1
    for seed in range(3):
        check(library, some(seed), expected(some(seed)))
    del library
    gc.collect()
    assert thread_count() == before


@pytest.mark.skipif(platform.machine() != "x86_64", reason="denormals cost little elsewhere")
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_denormal_results_are_zero_in_kernels_only(built: Built, threads: int) -> None:
    library = built.open(threads)
    denormal = np.full(SHAPE, 1e-39, np.float32)
    twice, copied, _ = run(library, denormal)
    np.testing.assert_array_equal(twice, np.broadcast_to(2 * WEIGHTS, SHAPE))
    np.testing.assert_array_equal(copied, denormal)
    library.time_kernels()
    assert (denormal * np.float32(0.5) > 0).all()


def test_outputs_are_copies_and_inputs_stay(built: Built, expected: Expected) -> None:
    library = built.open()
    first = run(library, some(1))
    kept = [array.copy() for array in first]
    library.run()  # again, on the same inputs
    for made, before in zip(library.outputs(), kept, strict=True):
        np.testing.assert_array_equal(made, before)
    run(library, some(2))
    for array, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def test_several_models_in_one_process(built: Built, other: Built, expected: Expected) -> None:
    """Two models of one library and one of another, in turn; one is closed and the others go on."""
    libraries = [built.open(), built.open(), other.open(), other.open(1)]
    weights = [WEIGHTS, WEIGHTS, WEIGHTS + 1, WEIGHTS + 1]
    for step in range(200):
        number = step % len(libraries)
        check(libraries[number], some(step), expected(some(step), weights[number]))
    del libraries[::2]
    gc.collect()
    for step in range(100):
        check(libraries[step % 2], some(step), expected(some(step), weights[1 + 2 * (step % 2)]))


def test_models_of_several_threads(built: Built, other: Built, expected: Expected) -> None:
    wrong = []

    def work(library: NativeLibrary, weights: np.ndarray, seed: int) -> None:
        for step in range(seed, seed + 150):
            right = expected(some(step), weights)
            if any((made != array).any() for made, array in zip(run(library, some(step)), right, strict=True)):
                wrong.append(step)

    models = ((built.open(), WEIGHTS, 0), (built.open(), WEIGHTS, 1000), (other.open(1), WEIGHTS + 1, 2000))
    workers = [threading.Thread(target=work, args=model) for model in models]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_a_model_moves_from_thread_to_thread(built: Built, expected: Expected) -> None:
    library = built.open()
    for seed in range(20):
        worker = threading.Thread(target=check, args=(library, some(seed), expected(some(seed))))
        worker.start()
        worker.join()
        check(library, some(seed + 1), expected(some(seed + 1)))


def test_sleeping_threads_wake_again(built: Built, expected: Expected) -> None:
    library = built.open(3)
    for seed in range(20):
        check(library, some(seed), expected(some(seed)))
        time.sleep(0.02)
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1  # they do sleep
    check(library, some(), expected(some()))


def test_after_a_fork(built: Built, expected: Expected) -> None:
    """A forked process has the memory but not the threads: it computes on one."""
    library = built.open(2)
    check(library, some(), expected(some()))
    time.sleep(0.01)
    child = os.fork()
    if child == 0:
        try:
            check(library, some(5), expected(some(5)))
            library.__del__()
            check(built.open(2), some(6), expected(some(6)))
            os._exit(0)
        finally:
            os._exit(1)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, 9)
        time.sleep(0.01)
    assert ended[1] == 0
    check(library, some(7), expected(some(7)))


def test_twenty_thousand_runs(built: Built, expected: Expected) -> None:
    library = built.open(2)
    inputs = [some(seed) for seed in range(8)]
    right = [expected(x)[0] for x in inputs]
    for step in range(20_000):
        made = run(library, inputs[step % 8])[0]
        assert (made == right[step % 8]).all(), f"run {step}"
        if step % 2000 == 0:
            time.sleep(0.005)  # by then the other thread sleeps


def test_times(built: Built) -> None:
    library = built.open()
    library.set_inputs([some()])
    assert library.kernels() == ["add", "double"]
    marks = [mark for pair in library.time_kernels() for mark in pair]
    assert len(marks) == 4
    assert marks == sorted(marks)


def steps_of(built: Built) -> tuple[Step, ...]:
    from tvmopt.schedules.workload import Tensor

    tensor = Tensor(SHAPE)
    return tuple(Step(kernel, "fused", (), (("v", tensor),), "", 0, 0) for kernel in built.open(1).kernels())


class StopHereError(Exception):
    """An error that tvmopt does not define."""


def test_visiting(built: Built) -> None:
    library, steps, seen = built.open(), steps_of(built), []
    library.set_inputs([some()])
    library.visit_kernels(steps, lambda step, made: seen.append((step.kernel, made)))
    assert [kernel for kernel, _ in seen] == ["add", "double"]
    np.testing.assert_array_equal(seen[0][1][0], some() + WEIGHTS)
    np.testing.assert_array_equal(seen[1][1][0], 2 * (some() + WEIGHTS))


@pytest.mark.parametrize("error", [StopHereError("at once"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_of_a_visitor_comes_out_unchanged(built: Built, expected: Expected, error: BaseException) -> None:
    library, steps, seen = built.open(), steps_of(built), []

    def visit(step: Step, made: list[np.ndarray]) -> None:
        seen.append(step.kernel)
        raise error

    library.set_inputs([some()])
    with pytest.raises(type(error)) as caught:
        library.visit_kernels(steps, visit)
    assert caught.value is error
    assert seen == ["add"]
    check(library, some(3), expected(some(3)))


def test_a_visitor_may_run_other_models(built: Built, other: Built, expected: Expected) -> None:
    library, second = built.open(), other.open(1)
    library.set_inputs([some(1)])
    library.visit_kernels(steps_of(built), lambda step, made: check(second, some(2), expected(some(2), WEIGHTS + 1)))
    np.testing.assert_array_equal(library.outputs()[0], expected(some(1))[0])


def test_a_step_of_another_size(built: Built) -> None:
    from tvmopt.schedules.workload import Tensor

    library = built.open()
    steps = [replace(step, outputs=(("v", Tensor((1, 2))),)) for step in steps_of(built)]
    with pytest.raises(InputFileError, match="kernel add has other outputs than the manifest lists"):
        library.visit_kernels(steps, lambda step, made: None)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_kernel_that_fails_says_why(broken: Built, threads: int) -> None:
    library = broken.open(threads)
    library.set_inputs([some()])
    for _ in range(2):
        with pytest.raises(BuildError, match=r"a kernel failed: ValueError: Invalid .*shape\[0\]") as caught:
            library.run()
        assert str(caught.value).endswith("expected 64")
        assert "\n" not in str(caught.value)
        with pytest.raises(BuildError, match="double"):
            library.time_kernels()
    with pytest.raises(BuildError, match="double"):
        library.visit_kernels(steps_of(broken), lambda step, made: None)


@pytest.mark.parametrize("change", [-1, 1, 64, -10_000])
def test_weights_of_another_size(built: Built, change: int) -> None:
    nbytes = max(built.weights.nbytes + change, 0)
    says = rf"a library for {built.weights.nbytes} bytes of weights, the artifact has {nbytes}"
    with pytest.raises(OSError, match=says):
        NativeLibrary(built.library, reserve(nbytes), (built.inputs, built.outputs), 2)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ((), "a library with 1 inputs, the manifest has 0"),
        ([{"shape": [64, 33]}, {"shape": [64, 33]}], "a library with 1 inputs, the manifest has 2"),
        ([{"shape": [64, 34]}], "a library whose input 'x' is float32 64,33, the manifest's is float32 64,34"),
        ([{"shape": []}], "the manifest's is float32 scalar"),
        ([{"shape": [64, 33], "dtype": "int32"}], "the manifest's is int32 64,33"),
    ],
)
def test_a_manifest_of_another_library(built: Built, inputs: list[dict[str, object]], says: str) -> None:
    listed = tuple({"name": "x", "dtype": "float32", **spec} for spec in inputs)
    with pytest.raises(OSError, match=says):
        replace(built, inputs=listed).open()
    with pytest.raises(OSError, match="a library with 3 outputs, the manifest has 1"):
        replace(built, outputs=built.outputs[:1]).open()


@pytest.mark.parametrize("threads", [0, -1])
def test_without_threads(built: Built, threads: int) -> None:
    with pytest.raises(OSError, match=f"could not get its memory or {threads} threads"):
        built.open(threads)


def test_a_foreign_library(built: Built, tmp_path: Path) -> None:
    path = tmp_path / "other.so"
    subprocess.run(["g++", "-shared", "-o", path, "-xc++", "/dev/null"], check=True)
    for content in (path.read_bytes(), b"", b"\x7fELF", built.library[::-1]):
        with pytest.raises(OSError, match=r"not a library of a model: .*model\.so") as caught:
            replace(built, library=content).open()
        assert "\n" not in str(caught.value)
        assert "/tmp" not in str(caught.value)
