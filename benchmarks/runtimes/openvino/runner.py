"""OpenVINO's CPU device in FP32.

Set up for latency as its documentation advises (CPU device: performance hints and thread scheduling): latency hint, one
stream, `threads` inference threads. Precision is fixed at f32, since the device would otherwise compute in bfloat16 or
float16 on CPUs that support it. The inference request's tensors share memory with the inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Choice, Job, Runtime

_HINT = Choice(
    name="performance hint",
    about="what the device sets itself up for; there is one stream with either",
    default="latency",
    others=("throughput",),
)
PINNING = Choice(
    name="threads bound to cores",
    about="whether each of its threads keeps to a core",
    default="the device's choice",
    others=("yes", "no"),
)
CHOICES = (_HINT, PINNING)
"""Those that its pages on performance hints and thread scheduling name for the CPU device."""


class RunOpenvino:
    """Runs an ONNX file with OpenVINO."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._openvino: Any = None
        self.compiled: Any = None
        self.request: Any = None
        self._inputs: list[np.ndarray] = []

    def open_library(self) -> None:
        """Imports OpenVINO."""
        import openvino

        self._openvino = openvino

    def prepare(self, job: Job) -> None:
        """Does nothing: the model is compiled when it is loaded."""

    def load(self, job: Job) -> None:
        """Compiles the model and sets the request's input tensors."""
        core = self._openvino.Core()
        self.compiled = core.compile_model(self.model_file(job), "CPU", self.properties(job))
        self.request = self.compiled.create_infer_request()
        self.set_inputs(job.load_inputs())
        self.settings |= {
            "device": "CPU",
            "performance hint": _HINT.of(job),
            "inference precision": "f32",
            "inference threads": str(self.compiled.get_property("INFERENCE_NUM_THREADS")),
            "streams": str(self.compiled.get_property("NUM_STREAMS")),
            "threads bound to cores": str(self.compiled.get_property("ENABLE_CPU_PINNING")),
        }

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Makes `inputs` the input tensors of the request."""
        self._inputs.clear()
        self.give_inputs(self.request, list(inputs.values()))

    def give_inputs(self, request: Any, arrays: list[np.ndarray]) -> None:
        """Makes `arrays` the input tensors of `request`."""
        for index, array in enumerate(arrays):
            plain = np.asarray(array, order="C")
            # Tensors that share memory do not keep the arrays alive.
            self._inputs.append(plain)
            request.set_input_tensor(index, self._openvino.Tensor(plain, shared_memory=True))

    def properties(self, job: Job) -> dict[str, Any]:
        """The device's properties."""
        return binding(job) | {
            "PERFORMANCE_HINT": _HINT.of(job).upper(),
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": job.threads,
            "NUM_STREAMS": 1,
        }

    def model_file(self, job: Job) -> str:
        """The file that is compiled."""
        return job.onnx

    def run(self) -> None:
        """One inference on the input tensors."""
        self.request.infer(share_outputs=True)

    def read_outputs(self) -> list[np.ndarray]:
        """Copies of the request's output tensors."""
        return [self.request.get_output_tensor(index).data.copy() for index in range(len(self.compiled.outputs))]


def binding(job: Job) -> dict[str, Any]:
    """The property that binds threads to cores or does not; none where that is the device's choice."""
    bound = {"yes": True, "no": False}.get(PINNING.of(job))
    return {} if bound is None else {"ENABLE_CPU_PINNING": bound}


RUNTIME = Runtime(
    name="openvino",
    title="OpenVINO",
    variant="FP32",
    about="OpenVINO's CPU device with the latency hint, one stream, precision fixed at f32, inputs in shared memory.",
    packages=("openvino",),
    modules=("openvino",),
    extra="openvino",
    runner=RunOpenvino,
    profiler=f"{__package__}.profiler:profile_openvino",
    peer=True,
    choices=CHOICES,
)
