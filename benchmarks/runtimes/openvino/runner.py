"""OpenVINO's CPU device in FP32.

Set up for latency as its documentation advises (CPU device: performance hints and thread scheduling): latency hint, one
stream, `threads` inference threads. Precision is fixed at f32, since the device would otherwise compute in bfloat16 or
float16 on CPUs that support it. The inference request's tensors share memory with the inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, Runtime


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
        self.set_inputs(self.request, list(job.load_inputs().values()))
        self.settings |= {
            "device": "CPU",
            "performance hint": "latency",
            "inference precision": "f32",
            "inference threads": str(self.compiled.get_property("INFERENCE_NUM_THREADS")),
            "streams": str(self.compiled.get_property("NUM_STREAMS")),
            "threads bound to cores": str(self.compiled.get_property("ENABLE_CPU_PINNING")),
        }

    def set_inputs(self, request: Any, arrays: list[np.ndarray]) -> None:
        """Makes `arrays` the input tensors of `request`."""
        for index, array in enumerate(arrays):
            plain = np.asarray(array, order="C")
            # Tensors that share memory do not keep the arrays alive.
            self._inputs.append(plain)
            request.set_input_tensor(index, self._openvino.Tensor(plain, shared_memory=True))

    def properties(self, job: Job) -> dict[str, Any]:
        """The device's properties."""
        return {
            "PERFORMANCE_HINT": "LATENCY",
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
)
