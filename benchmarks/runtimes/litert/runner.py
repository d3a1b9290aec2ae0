"""LiteRT (formerly TensorFlow Lite) with XNNPACK in FP32, its model converted from PyTorch by litert-torch.

Set up as its documentation advises: the XNNPACK delegate, the interpreter's default, with the same number of threads as
the other runtimes; images are passed with channels last, as the converter advises, so that no input is transposed.

The converter cannot share this project's environment (it and TVM need different releases of typing-extensions), so it
runs in an environment of its own (`pipeline.environments`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.pipeline.environments.places import missing, require_python
from tvmopt.pipeline.environments.registry import find_environment
from tvmopt.pipeline.environments.run_script import Call, Limits, ScriptError, run_script

_CONVERTER = "litert"
"""The converter's environment."""

_LIMITS = Limits(time_s=1800.0, memory_bytes=16 << 30)
_PROGRAM, _MODEL = "program.pt2", "model.tflite"


class RunLitert:
    """Converts the user's network and runs the result with LiteRT's interpreter."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._make: Any = None
        self._interpreter: Any = None
        self._outputs: list[int] = []

    def open_library(self) -> None:
        """Imports LiteRT."""
        from ai_edge_litert.interpreter import Interpreter

        self._make = Interpreter

    def prepare(self, job: Job) -> None:
        """Exports the network and converts it in the converter's own environment.

        Raises:
            RuntimeError: when it cannot be converted.
        """
        import torch

        from tvmopt.benchmarks.runtimes.pytorch.runner import load_network

        folder = Path(job.folder)
        inputs = tuple(torch.from_numpy(array) for array in job.load_inputs().values())
        with torch.no_grad():
            torch.export.save(torch.export.export(load_network(job.source), inputs), folder / _PROGRAM)
        script = Path(__file__).with_name("convert.py")
        ranks = json.dumps([tensor.dim() for tensor in inputs])
        try:
            call = Call(script, (_PROGRAM, _MODEL, ranks), folder)
            run_script(require_python(find_environment(_CONVERTER)), call, _LIMITS)
        except ScriptError as error:
            raise RuntimeError(f"litert-torch cannot convert it: {error}") from error
        (folder / _PROGRAM).unlink()

    def load(self, job: Job) -> None:
        """Creates the interpreter and sets its inputs."""
        path = str(Path(job.folder) / _MODEL)
        self._interpreter = self._make(path, num_threads=job.threads)
        self._interpreter.allocate_tensors()
        (name, signature) = next(iter(self._interpreter.get_signature_list().items()))
        runner = self._interpreter.get_signature_runner(name)
        taken, given = runner.get_input_details(), runner.get_output_details()
        for place, array in zip(sorted(signature["inputs"], key=_number), job.load_inputs().values(), strict=True):
            last = np.moveaxis(array, 1, -1) if array.ndim == 4 else array
            self._interpreter.set_tensor(taken[place]["index"], np.asarray(last, order="C"))
        self._outputs = [given[place]["index"] for place in sorted(signature["outputs"], key=_number)]
        self.settings |= {
            "delegate": "XNNPACK (the default)",
            "threads": str(job.threads),
            "precision": "fp32, half precision not allowed",
            "conversion": "litert-torch from PyTorch, images with channels last",
        }

    def run(self) -> None:
        """One inference on the input tensors."""
        self._interpreter.invoke()

    def read_outputs(self) -> list[np.ndarray]:
        """Copies of the output tensors."""
        return [self._interpreter.get_tensor(index) for index in self._outputs]


def _lacks_converter() -> str | None:
    return missing(find_environment(_CONVERTER))


def _number(name: str) -> int:
    """The index in ``args_0`` or ``output_12``."""
    return int(name.rpartition("_")[2])


RUNTIME = Runtime(
    name="litert",
    title="LiteRT",
    variant="FP32, XNNPACK",
    about="LiteRT's interpreter with the XNNPACK delegate in FP32; converted from PyTorch by litert-torch.",
    packages=("ai-edge-litert",),
    modules=("ai_edge_litert", "torch"),
    extra="litert",
    runner=RunLitert,
    unprofiled="the interpreter's Python interface does not report operator times",
    peer=True,
    prepared="per batch",
    kinds=("pt2", "python"),
    lacks=_lacks_converter,
)
