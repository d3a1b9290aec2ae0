"""Kernels on maps whose last block has channels that hold anything."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.schedules.conftest import guarded
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.workload import Workload


def run_beside(host: Any, workload: Workload, data: np.ndarray, absent: float) -> np.ndarray:
    """The result of a kernel of one operand in memory, where channels that there are not hold `absent`."""
    import tvm

    maps = workload.inputs[0]
    (memory, _), (made, _) = (guarded(maps.physical_shape, "float32") for _ in range(2))
    memory[...] = maps.store(data)
    memory[:, -1, :, :, maps.shape[1] % maps.block :] = absent
    function = template_for(workload, host.target).build(workload, host.target, {})
    with tvm.transform.PassContext(config={"tirx.disable_cse_tir": True}):
        library = tvm.compile(tvm.IRModule({"f": function.with_attr("global_symbol", "f")}), dict(host.target.tvm))
    library["f"](tvm.runtime.from_dlpack(memory), tvm.runtime.from_dlpack(made))
    return made
