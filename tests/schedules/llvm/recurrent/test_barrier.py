"""The barrier: every round sees the whole previous round, with any number of threads."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tvmopt.schedules.llvm.recurrent.barrier import FENCE, PAUSE
from tvmopt.schedules.target import parse_target

ROUNDS, PIECES = 400, 8

CODE = f"""
import numpy as np, tvm
from tvm import tirx
from tvmopt.schedules.llvm.parts import emit
from tvmopt.schedules.llvm.recurrent.barrier import Meeting
from tvmopt.schedules.target import parse_target

target = parse_target("llvm", 2)
meeting = Meeting({PIECES}, target)
parameter = tirx.decl_buffer(({ROUNDS + 1}, {PIECES}), "int32", name="numbers")
numbers = emit.View.of(parameter, ({ROUNDS + 1}, {PIECES}))

def round_of(i):
    def work(piece):
        # Every piece adds up what all pieces made in the round before, so none may run ahead.
        places = [tirx.floormod(piece + k, {PIECES}) for k in range(2)]
        total = sum(emit.load(numbers, [i, place]) for place in places)
        return emit.store(numbers, tirx.floormod(total + i, 65536), [i + 1, piece])
    return meeting.round_of(i + 1, work)

body = emit.seq([numbers.declare(), meeting.region(emit.loop({ROUNDS}, round_of))])
function = emit.kernel([parameter], body, target.threads)
library = tvm.compile(tvm.IRModule({{"kernel": function.with_attr("global_symbol", "kernel")}}), dict(target.tvm))
expected = np.zeros(({ROUNDS + 1}, {PIECES}), np.int32)
expected[0] = np.arange({PIECES})
made = tvm.runtime.tensor(expected.copy())
for i in range({ROUNDS}):
    expected[i + 1] = (expected[i] + np.roll(expected[i], -1) + i) % 65536
for _ in range(20):
    library["kernel"](made)
    assert np.array_equal(made.numpy(), expected)
print("right")
"""


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_round_sees_the_one_before(threads: int) -> None:
    """Also with fewer threads than the kernel was built for, and with more threads than processors."""
    environment = {**os.environ, "TVM_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=200, env=environment, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("right", 0), done.stderr[-2000:]


@pytest.mark.parametrize("name", ["llvm", "x86-64-v3", "aarch64", "aarch64-dotprod", "armv7"])
def test_every_cpu_has_its_instructions(name: str) -> None:
    from tvm.target import codegen

    arch = parse_target(name).arch
    for table in (PAUSE, FENCE):
        assert codegen.llvm_lookup_intrinsic_id(table[arch][0]) != 0
