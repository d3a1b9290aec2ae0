"""onnxruntime's CPU provider in FP32.

Set up for the lowest latency as its documentation advises (performance/tune-performance: threading, I/O binding): all
graph optimisations, sequential execution, one pool of `threads` that spin between calls, bound inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Choice, Job, Runtime

_AT_ONCE = Choice(
    name="operators at once",
    about="more than one execute in parallel, in a pool of as many threads, and share the threads of the cell",
    default="1",
    counted_from=2,
)
_OPTIMISATION = Choice(
    name="graph optimisation",
    about="how far the graph is rewritten; the last level changes layouts",
    default="all",
    others=("extended", "basic"),
)
_BETWEEN = Choice(
    name="between operators", about="whether idle threads spin or sleep", default="spin", others=("sleep",)
)
CHOICES = (_AT_ONCE, _OPTIMISATION, _BETWEEN)
"""Those that its page on tuning performance names for the CPU provider."""


class RunOnnxruntime:
    """Runs an ONNX file with onnxruntime."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._ort: Any = None
        self._session: Any = None
        self._binding: Any = None

    def open_library(self) -> None:
        """Imports onnxruntime."""
        import onnxruntime

        self._ort = onnxruntime

    def prepare(self, job: Job) -> None:
        """Does nothing: the session optimises when it is created."""

    def load(self, job: Job) -> None:
        """Creates the session and binds inputs and outputs."""
        options = self.session_options(job)
        self._session = self._ort.InferenceSession(self.model_file(job), options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        self.set_inputs(job.load_inputs())
        for name in job.outputs:
            self._binding.bind_output(name, "cpu")
        self.settings |= {
            "provider": "CPUExecutionProvider",
            "graph optimisation": _OPTIMISATION.of(job),
            "execution": "sequential" if options.inter_op_num_threads == 1 else "parallel",
            "inter-op threads": str(options.inter_op_num_threads),
            "intra-op threads": f"{options.intra_op_num_threads}, {_BETWEEN.of(job)}ing",
            "inputs and outputs": "bound",
        }

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Binds other inputs."""
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, self._ort.OrtValue.ortvalue_from_numpy(array))

    def session_options(self, job: Job) -> Any:
        """The session's options."""
        ort, at_once = self._ort, int(_AT_ONCE.of(job))
        spins = "1" if _BETWEEN.of(job) == "spin" else "0"
        options = ort.SessionOptions()
        options.intra_op_num_threads = max(1, job.threads // at_once)
        options.inter_op_num_threads = at_once
        modes = ort.ExecutionMode
        options.execution_mode = modes.ORT_SEQUENTIAL if at_once == 1 else modes.ORT_PARALLEL
        level = f"ORT_ENABLE_{_OPTIMISATION.of(job).upper()}"
        options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
        options.add_session_config_entry("session.intra_op.allow_spinning", spins)
        options.add_session_config_entry("session.inter_op.allow_spinning", spins)
        options.log_severity_level = 3
        return options

    def model_file(self, job: Job) -> str:
        """The file that the session loads."""
        return job.onnx

    def run(self) -> None:
        """One inference on the bound inputs."""
        self._session.run_with_iobinding(self._binding)

    def end_profiling(self) -> str:
        """Ends the profiling that the session's options started; returns the file that onnxruntime wrote."""
        return str(self._session.end_profiling())

    def read_outputs(self) -> list[np.ndarray]:
        """The bound outputs."""
        return list(self._binding.copy_outputs_to_cpu())


RUNTIME = Runtime(
    name="onnxruntime",
    title="ONNX Runtime",
    variant="FP32",
    about="ONNX Runtime's CPU provider with all graph optimisations, bound inputs and outputs, and spinning threads.",
    packages=("onnxruntime",),
    modules=("onnxruntime",),
    runner=RunOnnxruntime,
    profiler=f"{__package__}.profiler:profile_onnxruntime",
    peer=True,
    choices=CHOICES,
)
