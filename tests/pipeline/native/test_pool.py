"""The runtime's threads in TVM's process; in processes of their own, for TVM must not be loaded before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.native.pool import write_pool
from schedules.target import parse_target

PROGRAM = """
import sys
from pathlib import Path
from pipeline.native.pool import use_pool
if sys.argv[1]:
    use_pool(Path(sys.argv[1]), 2)
import numpy as np, os, tvm
from tvm import tirx
from pipeline.build import kernel_library
from schedules.llvm import emit
from schedules.target import parse_target

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


def threads_started(pool: Path | None, repository: Path) -> int:
    """How many threads a kernel's first calls start; TVM starts its own then, and ours are there before."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(pool or "")],
        cwd=repository,
        env={"PATH": "", "TVM_NUM_THREADS": "2", "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_kernels_of_tvm_run_on_our_threads(repository: Path, tmp_path: Path) -> None:
    pool = tmp_path / "pool.so"
    assert write_pool(parse_target("llvm", 2), pool)
    assert threads_started(pool, repository) == 0
    assert threads_started(None, repository) > 0


def test_without_a_compiler_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not write_pool(parse_target("llvm", 2), tmp_path / "pool.so")
    assert not (tmp_path / "pool.so").exists()
