"""The runtime's threads in TVM's process; in separate processes, because TVM must not be loaded before the pool."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tvmopt.pipeline.compiler.native.pool import write_pool
from tvmopt.schedules.target import parse_target

PROGRAM = """
import sys
from pathlib import Path
from tvmopt.pipeline.compiler.native.pool import use_pool
if sys.argv[1]:
    use_pool(Path(sys.argv[1]), 2)
import numpy as np, os, tvm
from tvm import tirx
from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.target import parse_target

target = parse_target("llvm", 2)
size = 1000
x, y = (tirx.decl_buffer((size,), "float32", name=name) for name in "xy")
body = emit.parallel(size, lambda i: emit.store(y, emit.load(x, [i], 1) * emit.const(2.0), [i], 1))
library = kernel_library({"double": emit.kernel([x, y], body, 2)}, target)
given, made = tvm.runtime.tensor(np.arange(size, dtype="float32")), tvm.runtime.tensor(np.zeros(size, "float32"))
before = len(os.listdir("/proc/self/task"))
for _ in range(100):
    library["double"](given, made)
assert np.array_equal(made.numpy(), 2 * given.numpy())
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.so"
    assert write_pool(parse_target("llvm", 2), path)
    return path


def output_of(program: str, *arguments: str, repository: Path) -> str:
    """The output of a program, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=repository,
        env={"PATH": "", "TVM_NUM_THREADS": "2", "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def threads_started(pool: Path | None, repository: Path) -> int:
    """How many threads a kernel's first calls start: TVM starts its threads then, but ours already exist."""
    return int(output_of(PROGRAM, str(pool or ""), repository=repository))


@pytest.mark.slow
def test_kernels_of_tvm_run_on_our_threads(repository: Path, pool: Path) -> None:
    assert threads_started(pool, repository) == 0
    assert threads_started(None, repository) > 0


SHARED = """
import sys
from pathlib import Path
from tvmopt.pipeline.compiler.native.pool import use_pool
pool = use_pool(Path(sys.argv[1]), int(sys.argv[2]))
import numpy as np, tvm
from tvm import tirx
from tvmopt.pipeline.compiler.build import kernel_library
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.target import parse_target

def count(i):
    return emit.store(y, emit.load(y, [i], 1) + emit.const(1.0), [i], 1)

made, kernels, calls = {}, {}, 1500
for size in (2, 3, 7, 64, 1000):
    y = tirx.decl_buffer((size,), "float32", name="y")
    kernels[str(size)] = emit.kernel([y], emit.parallel(size, count), 2)
    made[size] = tvm.runtime.tensor(np.zeros(size, "float32"))
library = kernel_library(kernels, parse_target("llvm", 2))
for call in range(calls):
    for size, memory in made.items():
        with pool.sharing(emit.parallel_tasks(kernels[str(size)])):
            library[str(size)](memory)
assert all(np.array_equal(memory.numpy(), np.full(size, calls)) for size, memory in made.items())
print("each once")
"""


@pytest.mark.sweep
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_every_task_runs_once_whoever_takes_it(repository: Path, pool: Path, threads: int) -> None:
    """With more threads than cores some are late, when the others have finished or run the next loop."""
    assert output_of(SHARED, str(pool), str(threads), repository=repository) == "each once\n"


def test_without_a_compiler_there_is_no_pool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not write_pool(parse_target("llvm", 2), tmp_path / "pool.so")
    assert not (tmp_path / "pool.so").exists()
