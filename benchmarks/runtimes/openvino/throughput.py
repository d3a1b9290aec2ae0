"""OpenVINO set up for throughput: the throughput hint, several streams, several requests at once.

OpenVINO chooses the number of streams for the threads that it may use, unless a row is for a number of streams, and how
many requests keep them busy. A call of `run` infers that many at once and waits for all; what is counted is the call's
time over the number of requests.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.openvino.runner import RunOpenvino


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
        made = int(self.compiled.get_property("NUM_STREAMS"))
        if self._streams not in (0, made):  # OpenVINO makes fewer without a word where threads are too few
            raise ValueError(f"OpenVINO made {made} streams, not {self._streams}")
        self.inferences = int(self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        others = [self.compiled.create_infer_request() for _ in range(self.inferences - 1)]
        for request in others:
            self.set_inputs(request, [np.array(array) for array in job.load_inputs().values()])
        self._requests = [self.request, *others]
        self.settings |= {
            "performance hint": "throughput",
            "requests at once": str(self.inferences),
            "time": "of all requests, over their number: not the latency of one",
        }

    def properties(self, job: Job) -> dict[str, Any]:
        """The device's properties."""
        streams = {"NUM_STREAMS": self._streams} if self._streams else {}
        return streams | {
            "PERFORMANCE_HINT": "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": job.threads,
        }

    def run(self) -> None:
        """One inference of every request, at once."""
        for request in self._requests:
            request.start_async(share_inputs=True)
        for request in self._requests:
            request.wait()


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
)
