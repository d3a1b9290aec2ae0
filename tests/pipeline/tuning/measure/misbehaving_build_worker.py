"""A builder whose convolutions have an extra knob, ``behaviour``, which says how they fail."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tvmopt.pipeline.tuning.measure import build_worker
from tvmopt.schedules.expression import call
from tvmopt.schedules.llvm.convolution.conv2d import Convolution
from tvmopt.schedules.registry import BoundKernel
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

GOOD, REFUSES, CRASHES, HANGS, COMPUTES_WRONGLY, TAKES_OTHER_SHAPES, HANGS_WHEN_RUN = range(7)


class MisbehavingConv2d(Convolution):
    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        behaviour, config = split(config)
        if behaviour == REFUSES:
            raise ValueError("a reason\nthat takes two lines")
        if behaviour == CRASHES:
            os.kill(os.getpid(), signal.SIGSEGV)
        if behaviour == HANGS:
            time.sleep(600)
        if behaviour == COMPUTES_WRONGLY:
            workload = replace(workload, epilogue=call("neg", workload.epilogue))
        if behaviour == TAKES_OTHER_SHAPES:
            data = replace(workload.inputs[0], shape=(2, *workload.inputs[0].shape[1:]))
            output = replace(workload.output, shape=(2, *workload.output.shape[1:]))
            workload = replace(workload, inputs=(data, *workload.inputs[1:]), output=output)
        return super().build(workload, target, config)

    def packed(self, workload: Workload, target: Target, config: Config) -> Mapping[int, tuple[int, ...]]:
        return super().packed(workload, target, split(config)[1])

    def pack(self, workload: Workload, target: Target, config: Config, index: int, array: Any) -> Any:
        behaviour, config = split(config)
        if behaviour == HANGS_WHEN_RUN:
            time.sleep(600)
        return super().pack(workload, target, config, index, array)


def bind(workload: Workload, target: Target) -> BoundKernel:
    return BoundKernel(MisbehavingConv2d(), workload, target)


def split(config: Config) -> tuple[int, Config]:
    """The behaviour, and the config for the underlying template."""
    return config.get("behaviour", GOOD), {name: value for name, value in config.items() if name != "behaviour"}


if __name__ == "__main__":
    build_worker.kernel_for = bind
    build_worker.main()
