"""OpenVINO set up for throughput: the throughput hint, several streams, several requests at once.

OpenVINO chooses the number of streams for the threads that it may use, unless a row is for a number of streams, and how
many requests keep them busy. A call of `run` infers that many at once and waits for all; what is counted is the call's
time over the number of requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Choice, Job, Runtime
from tvmopt.benchmarks.runtimes.openvino.runner import PINNING, RunOpenvino, binding

_STREAMS = Choice(
    name="streams", about="how many requests are computed at once", default="the device's choice", counted_from=1
)
_REQUESTS = Choice(
    name="requests at once",
    about="how many wait for a stream or are computed",
    default="as the device advises",
    others=("twice as many",),
)


class RunOpenvinoThroughput(RunOpenvino):
    """Runs an ONNX file with several requests of OpenVINO at once; `streams` of 0 are OpenVINO's choice."""

    def __init__(self, streams: int = 0) -> None:
        super().__init__()
        self._streams = streams
        self.inferences = 1
        self._requests: list[Any] = []

    def load(self, job: Job) -> None:
        """Compiles the model, and makes the requests with their input tensors."""
        super().load(job)
        asked = self._asked(job)
        made = int(self.compiled.get_property("NUM_STREAMS"))
        if asked not in (0, made):  # OpenVINO makes fewer without a word where threads are too few
            raise ValueError(f"OpenVINO made {made} streams, not {asked}")
        advised = int(self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.inferences = advised * (1 if _REQUESTS.of(job) == _REQUESTS.default else 2)
        others = [self.compiled.create_infer_request() for _ in range(self.inferences - 1)]
        self._requests = [self.request, *others]
        self.set_inputs(job.load_inputs())
        self.settings |= {
            "performance hint": "throughput",
            "requests at once": str(self.inferences),
            "time": "of all requests, over their number: not the latency of one",
        }

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Gives every request a copy of `inputs`."""
        super().set_inputs(inputs)
        for request in self._requests[1:]:
            self.give_inputs(request, [np.array(array) for array in inputs.values()])

    def properties(self, job: Job) -> dict[str, Any]:
        """The device's properties."""
        asked = self._asked(job)
        streams = {"NUM_STREAMS": asked} if asked else {}
        return (
            streams
            | binding(job)
            | {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": job.threads,
            }
        )

    def run(self) -> None:
        """One inference of every request, at once."""
        for request in self._requests:
            request.start_async(share_inputs=True)
        for request in self._requests:
            request.wait()

    def _asked(self, job: Job) -> int:
        """The number of streams that was asked for; 0 for OpenVINO's choice."""
        found = _STREAMS.of(job)
        return self._streams if found == _STREAMS.default else int(found)


def with_streams(streams: int) -> Runtime:
    """The runtime with a number of streams, at least 1."""
    return replace(
        RUNTIME,
        name=f"{RUNTIME.name}-streams-{streams}",
        title=f"{RUNTIME.title}, {streams} stream{'' if streams == 1 else 's'}",
        about=f"OpenVINO with the throughput hint, {streams} stream{'' if streams == 1 else 's'} and requests as it "
        "advises; its time is that of all requests at once over their number, not the latency of one.",
        runner=partial(RunOpenvinoThroughput, streams),
        with_streams=None,
        streams=streams,
        choices=tuple(choice for choice in RUNTIME.choices if choice is not _STREAMS),
    )


RUNTIME = Runtime(
    name="openvino-throughput",
    title="OpenVINO throughput",
    variant="FP32, throughput",
    about="OpenVINO with the throughput hint, streams and requests as it advises; its time is that of all requests at "
    "once over their number, not the latency of one.",
    packages=("openvino",),
    modules=("openvino",),
    extra="openvino",
    runner=RunOpenvinoThroughput,
    unprofiled="its kernels are those of openvino: profile that",
    peer=False,
    at_once=True,
    with_streams=with_streams,
    choices=(_STREAMS, _REQUESTS, PINNING),
)
