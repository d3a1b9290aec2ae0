from __future__ import annotations

import numpy as np
import pytest

from tvmopt.schedules.llvm.parts.quads import multiplies_bytes
from tvmopt.schedules.llvm.probes.integer_peak import integer_peak_kernel
from tvmopt.schedules.llvm.probes.peak import UNROLL
from tvmopt.schedules.target import parse_target


@pytest.mark.parametrize("threads", [1, 2])
def test_the_kernel_counts_each_product_of_bytes(threads: int) -> None:
    import tvm

    target = parse_target("llvm", threads)
    if not multiplies_bytes(target):
        pytest.skip("this machine does not multiply bytes")
    steps, lanes = 30, target.lanes("int32")
    function, size, operations = integer_peak_kernel(target, steps)
    module = tvm.IRModule({"main": function.with_attr("global_symbol", "main")})
    library = tvm.compile(module, target=tvm.target.Target(dict(target.tvm)))
    given = np.full(size, np.array([3, 250, 0, 7], np.uint8).view(np.int32)[0], np.int32)
    memory = tvm.runtime.tensor(given)
    library["main"](memory)
    # Bytes of data are unsigned, those of weights signed.
    sums = steps * UNROLL * (3 * 3 + 250 * -6 + 7 * 7)
    made = memory.numpy().reshape(target.threads, -1, lanes)
    assert (made[:, :-2] == sums).all()
    assert (made[:, -2:].ravel() == given[0]).all()
    assert operations == 2 * 4 * steps * UNROLL * made[:, :-2].size
