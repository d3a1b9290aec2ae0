"""MNN's CPU backend in FP32, its model converted from ONNX by MNN's own converter.

Set up for speed as its documentation advises: the Module interface with fixed shapes and weights rearranged at loading,
and high memory and power modes. Precision is high, which is FP32 (normal and low allow 16 bits if the CPU has them).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Choice, Job, Runtime

_MEMORY = Choice(
    name="memory mode",
    about="how much memory it may spend on speed",
    default="high",
    others=("normal", "low"),
)

_FILE = "model.mnn"


class RunMnn:
    """Converts an ONNX file and runs the result with MNN."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._expr: Any = None
        self._nn: Any = None
        self._module: Any = None
        self._inputs: list[Any] = []
        self._results: Any = None

    def open_library(self) -> None:
        """Imports MNN."""
        import MNN.expr
        import MNN.nn

        self._expr, self._nn = MNN.expr, MNN.nn

    def prepare(self, job: Job) -> None:
        """Converts the model into the job's folder.

        Raises:
            RuntimeError: when MNN cannot convert it.
        """
        # Call the converter directly: its wrapper MNN.tools.mnnconvert installs packages when imported, and reports
        # each use to the vendor.
        import _tools

        model = Path(job.folder) / _FILE
        arguments = ["-f", "ONNX", "--modelFile", job.onnx, "--MNNModel", str(model), "--bizCode", "tvmopt"]
        # Without useOriginRNNImpl, it rewrites recurrent layers as loops and dies with a segmentation fault.
        _tools.mnnconvert(["MNNConvert", *arguments, "--useOriginRNNImpl"])
        if not model.is_file():
            raise RuntimeError("MNN's converter made no model; its log says why")

    def load(self, job: Job) -> None:
        """Loads the converted model and sets its inputs."""
        expr, arrays = self._expr, job.load_inputs()
        self._module = self._nn.load_module_from_file(
            str(Path(job.folder) / _FILE),
            list(arrays),
            list(job.outputs),
            backend=expr.Backend.CPU,
            precision_mode=expr.PrecisionMode.High,
            memory_mode=getattr(expr.MemoryMode, _MEMORY.of(job).capitalize()),
            power_mode=expr.PowerMode.High,
            thread_num=job.threads,
            shape_mutable=False,
            rearrange=True,
        )
        self.set_inputs(arrays)
        self.settings |= {
            "backend": "CPU",
            "precision": "high (fp32)",
            "memory mode": _MEMORY.of(job),
            "power mode": "high",
            "threads": str(job.threads),
            "module": "fixed shapes, weights rearranged at loading",
            "conversion": "MNNConvert from ONNX",
        }

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Makes variables of other inputs."""
        self._inputs = [self._variable(array) for array in inputs.values()]

    def run(self) -> None:
        """One inference on the input variables."""
        self._results = self._module.forward(self._inputs)

    def read_outputs(self) -> list[np.ndarray]:
        """The last run's outputs, in NCHW order."""
        results = self._results if isinstance(self._results, (list, tuple)) else [self._results]
        plain = [self._expr.convert(result, self._expr.NCHW) for result in results]
        return [np.array(variable.read()).reshape(variable.shape) for variable in plain]

    def _variable(self, array: np.ndarray) -> Any:
        kinds = {"float32": self._expr.float, "int32": self._expr.int, "int64": self._expr.int}
        kind = kinds[str(array.dtype)]
        variable = self._expr.placeholder(list(array.shape), self._expr.NCHW, kind)
        variable.write(np.asarray(array, np.float32 if kind == self._expr.float else np.int32, order="C"))
        return variable


RUNTIME = Runtime(
    name="mnn",
    title="MNN",
    variant="FP32",
    about="MNN's CPU backend in high precision (FP32), memory and power modes high; converted by its own converter.",
    packages=("MNN",),
    modules=("MNN",),
    extra="mnn",
    runner=RunMnn,
    unprofiled="its Module interface does not report operator times",
    peer=True,
    choices=(_MEMORY,),
    prepared="per batch",
)
