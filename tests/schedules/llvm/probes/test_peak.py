from __future__ import annotations

import numpy as np

from tvmopt.schedules.llvm.probes.peak import STEPS, UNROLL, peak_kernel
from tvmopt.schedules.target import Target


def test_the_peak_kernel_does_what_it_counts(target: Target) -> None:
    import tvm

    function, size, flops = peak_kernel(target)
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    library = tvm.compile(module, target=tvm.target.Target(dict(target.tvm)))
    memory = tvm.runtime.tensor(np.full(size, 0.5, np.float32))
    library["main"](memory)
    # x ← x/2 + 1/2 starts from 1 and stays there.
    assert (memory.numpy() == np.where(memory.numpy() == 0.5, 0.5, 1.0)).all()
    assert (memory.numpy() == 1.0).any()
    assert flops % (STEPS * UNROLL * 2 * target.threads * target.lanes("float32")) == 0
    timer = library.mod.time_evaluator("main", tvm.cpu(), number=1, repeat=3)
    # No core does two vector multiply-adds per cycle at 8 GHz: a faster result means that the work was optimised away.
    speeds = [flops / min(timer(memory).results) for _ in range(5)]
    assert 1e9 < max(speeds) < 2 * 2 * 8e9 * target.lanes("float32") * target.threads, speeds
