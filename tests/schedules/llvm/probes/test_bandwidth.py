from __future__ import annotations

import numpy as np
import pytest

from tvmopt.schedules.llvm.probes.bandwidth import ARRAYS, FLOAT_BYTES, SCALE, UNROLL, triad_kernel
from tvmopt.schedules.target import Target, parse_target


@pytest.mark.parametrize(("nbytes", "sweeps"), [(100_000, 3), (1, 1)])
def test_the_triad_passes_over_the_whole_set(target: Target, nbytes: int, sweeps: int) -> None:
    import tvm

    function, size, moved = triad_kernel(target, nbytes, sweeps)
    assert moved == ARRAYS * FLOAT_BYTES * size * sweeps
    step = target.threads * UNROLL * target.lanes("float32")
    assert size % step == 0
    assert size == step or ARRAYS * FLOAT_BYTES * size <= nbytes < ARRAYS * FLOAT_BYTES * (size + step)
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    library = tvm.compile(module, target=tvm.target.Target(dict(target.tvm)))
    left, right = (np.random.default_rng(seed).standard_normal(size, np.float32) for seed in (1, 2))
    made = tvm.runtime.tensor(np.full(size, np.nan, np.float32))
    library["main"](tvm.runtime.tensor(left), tvm.runtime.tensor(right), made)
    np.testing.assert_allclose(made.numpy(), left + np.float32(SCALE) * right, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["aarch64", "x86-64-v4"])
def test_every_sweep_is_kept(name: str) -> None:
    """Each sweep stores the same values as the one before, but the compiler must not drop it."""
    import tvm

    target = parse_target(name, 1)
    function, _, _ = triad_kernel(target, 10_000, 7)
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    code = tvm.compile(module, target=tvm.target.Target(dict(target.tvm))).mod.inspect_source("ll")
    assert "i32 7" in code
    assert f"<{target.lanes('float32')} x float>" in code
