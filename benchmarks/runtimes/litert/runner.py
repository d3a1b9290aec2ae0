"""LiteRT (formerly TensorFlow Lite) with XNNPACK, on the user's TFLite file or on what litert-torch made of PyTorch.

Set up as its documentation advises: the XNNPACK delegate, the interpreter's default, with the same number of threads as
the other runtimes; images are passed with channels last, as the converter advises, so that no input is transposed.

The converter cannot share this project's environment (it and TVM need different releases of typing-extensions), so it
runs in an environment of its own (`pipeline.devices.environments`). TFLite files need none: they run as they are, in
FP32 or quantised.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, Runtime, refuse_values
from tvmopt.benchmarks.runtimes.litert.conversion import CONVERTER, convert_network
from tvmopt.benchmarks.runtimes.litert.own_file import bind_own_file
from tvmopt.pipeline.devices.environments.places import missing
from tvmopt.pipeline.devices.environments.registry import find_environment

MODEL = "model.tflite"
"""What a converted network is called in a job's folder."""


class RunLitert:
    """Runs the user's network, converted where it is no TFLite file, with LiteRT's interpreter."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.quantized = False
        self._make: Any = None
        self._interpreter: Any = None
        self._places: dict[str, int] = {}
        self._taken: list[tuple[int, type[np.generic]]] | None = None
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
        if not _is_own(job):
            convert_network(job, Path(job.folder) / MODEL)

    def load(self, job: Job) -> None:
        """Creates the interpreter and sets its inputs.

        Raises:
            ValueError: the interpreter does not take the model, or its inputs.
        """
        own = _is_own(job)
        self._interpreter = self._make(self.model_file(job), num_threads=job.threads)
        self.settings |= {"delegate": "XNNPACK (the default)", "threads": str(job.threads)}
        if own:
            refuse_values(job)
            bound = bind_own_file(self._interpreter, job.load_inputs(), job.outputs)
            self._outputs, self.quantized, self._places = bound.outputs, bound.quantized, bound.inputs
            self.settings |= {"precision": bound.precision, "read from": "the TFLite file itself"}
        else:
            self._bind_converted()
            self.settings |= {
                "precision": "fp32, half precision not allowed",
                "conversion": "litert-torch from PyTorch, images with channels last",
            }
        self.set_inputs(job.load_inputs())

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Copies other inputs, of a converted model with channels last."""
        if self._taken is None:
            for name, place in self._places.items():
                self._interpreter.set_tensor(place, np.asarray(inputs[name], order="C"))
            return
        for (place, dtype), array in zip(self._taken, inputs.values(), strict=True):
            last = np.moveaxis(array, 1, -1) if array.ndim == 4 else array
            self._interpreter.set_tensor(place, _as_taken(last, dtype))

    def model_file(self, job: Job) -> str:
        """The file that the interpreter reads."""
        return job.source["path"] if _is_own(job) else str(Path(job.folder) / MODEL)

    def run(self) -> None:
        """One inference on the input tensors."""
        self._interpreter.invoke()

    def read_outputs(self) -> list[np.ndarray]:
        """Copies of the output tensors."""
        return [self._interpreter.get_tensor(index) for index in self._outputs]

    def _bind_converted(self) -> None:
        self._interpreter.allocate_tensors()
        (name, signature) = next(iter(self._interpreter.get_signature_list().items()))
        runner = self._interpreter.get_signature_runner(name)
        taken, given = runner.get_input_details(), runner.get_output_details()
        inputs = [taken[place] for place in sorted(signature["inputs"], key=_number)]
        self._taken = [(details["index"], details["dtype"]) for details in inputs]
        self._outputs = [given[place]["index"] for place in sorted(signature["outputs"], key=_number)]


def _is_own(job: Job) -> bool:
    return job.source["kind"] == "tflite"


def _as_taken(array: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
    """The array with the elements that the converted model takes: the converter makes 64-bit integers 32-bit ones.

    Raises:
        ValueError: one of its values is beyond them.
    """
    taken = np.asarray(array, dtype, order="C")
    if taken.dtype != array.dtype and not np.array_equal(taken, array):
        raise ValueError(f"the converted model takes {taken.dtype}, which the input's {array.dtype} values exceed")
    return taken


def lacks_converter() -> str | None:
    """One line on the converter's environment, where it is not there."""
    return missing(find_environment(CONVERTER))


def _number(name: str) -> int:
    """The index in ``args_0`` or ``output_12``."""
    return int(name.rpartition("_")[2])


RUNTIME = Runtime(
    name="litert",
    title="LiteRT",
    variant="FP32, XNNPACK",
    about="LiteRT's interpreter with the XNNPACK delegate: TFLite files as they are, PyTorch by litert-torch in FP32.",
    packages=("ai-edge-litert",),
    modules=("ai_edge_litert",),
    extra="litert",
    runner=RunLitert,
    unprofiled="the interpreter's Python interface does not report operator times",
    peer=True,
    prepared="per batch",
    kinds=("pt2", "python", "tflite"),
    lacks=lacks_converter,
    lacks_for=("pt2", "python"),
)
