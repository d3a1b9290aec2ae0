"""LiteRT (formerly TensorFlow Lite) with XNNPACK in FP32, its model converted from PyTorch by litert-torch.

Set up as its documentation advises: the XNNPACK delegate, the interpreter's default, with the same number of threads as
the other runtimes; images are passed with channels last, as the converter advises, so that no input is transposed.

The converter cannot share this project's environment (it and TVM need different releases of typing-extensions), so it
runs in an environment of its own (`pipeline.environments`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.litert.conversion import CONVERTER, convert_network
from tvmopt.pipeline.environments.places import missing
from tvmopt.pipeline.environments.registry import find_environment

_MODEL = "model.tflite"


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
        """Converts the network in the converter's own environment, unless that was done before.

        Raises:
            RuntimeError: when it cannot be converted.
        """
        convert_network(job, Path(job.folder) / _MODEL)

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
            self._interpreter.set_tensor(taken[place]["index"], _as_taken(last, taken[place]["dtype"]))
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


def _as_taken(array: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """The array with the elements that the converted model takes: the converter makes 64-bit integers 32-bit ones.

    Raises:
        ValueError: one of its values is beyond them.
    """
    taken = np.asarray(array, dtype, order="C")
    if taken.dtype != array.dtype and not np.array_equal(taken, array):
        raise ValueError(f"the converted model takes {taken.dtype}, which the input's {array.dtype} values exceed")
    return taken


def _lacks_converter() -> str | None:
    return missing(find_environment(CONVERTER))


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
