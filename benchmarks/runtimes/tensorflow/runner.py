"""TensorFlow on the CPU in FP32, on the user's own SavedModel, frozen graph or Keras model.

Set up as its guides advise for inference: one `tf.function`, traced once for the input's sizes, with its inputs in its
own tensors; oneDNN's kernels, the default, are on. TensorFlow needs an environment of its own
(`pipeline.devices.environments`) but runs in this project's Python, in a process that takes its packages from there:
nothing else in it imports what both have. What a file may not do when it is imported, it may not do here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, Runtime, refuse_values
from tvmopt.pipeline.devices.environments.borrow import borrow
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.importers import tensorflow as importer

ENVIRONMENT = "tensorflow"

_SCRIPTS = Path(importer.__file__).with_name("scripts")
"""What opens models there; the modules beside it here need packages of this environment."""

_VARIABLES = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "CUDA_VISIBLE_DEVICES": ""}
"""TensorFlow reads them when it is imported."""


class RunTensorflow:
    """Opens the user's model and calls it as a function."""

    xla = False

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._tensorflow: Any = None
        self._function: Any = None
        self._kept: Any = None
        self._names: list[str] = []
        self._inputs: list[Any] = []
        self._outputs: list[int] = []
        self._result: list[Any] = []

    def open_library(self) -> None:
        """Imports TensorFlow from its environment."""
        borrow(find_environment(ENVIRONMENT), "TensorFlow", first=True)
        os.environ |= _VARIABLES
        import tensorflow as tf

        self._tensorflow = tf

    @property
    def library(self) -> Any:
        """The module, once it is imported."""
        return self._tensorflow

    def prepare(self, job: Job) -> None:
        """Does nothing: the function is traced when it is loaded."""

    def load(self, job: Job) -> None:
        """Opens the model, and traces it for the input's sizes.

        Raises:
            RuntimeError: TensorFlow does not take the model; one line.
            ValueError: the model has no input or output by the name of one of the import's.
        """
        refuse_values(job)
        tf = self._tensorflow
        tf.config.threading.set_intra_op_parallelism_threads(job.threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        opened = _open(job)
        arrays = job.load_inputs()
        self._names = [name for name, _, _ in opened.inputs]
        _check_names("input", self._names, arrays)
        _check_names("output", opened.outputs, job.outputs)
        self.set_inputs(arrays)
        self._outputs = [opened.outputs.index(name) for name in job.outputs]
        signature = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in self._inputs]
        function = tf.function(opened.call, input_signature=signature, jit_compile=self.xla or None)
        self._function = function.get_concrete_function()
        self._kept = opened
        self.settings |= {
            "version": str(tf.__version__),
            "interface": f"{opened.framework}: one tf.function, traced for the sizes measured",
            "XLA": "on (jit_compile)" if self.xla else "off (the default)",
            "oneDNN": "on, as far as this build has it (TF_ENABLE_ONEDNN_OPTS=1)",
            "intra-op threads": str(job.threads),
            "inter-op threads": "1",
            "precision": "fp32",
            "read from": "the model's own files",
        }

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Makes tensors of other inputs."""
        self._inputs = [self._tensorflow.constant(inputs[name]) for name in self._names]

    def run(self) -> None:
        """One inference on the input tensors; returns when its outputs are computed."""
        self._result = self._function(*self._inputs)

    def read_outputs(self) -> list[np.ndarray]:
        """Copies of the last run's outputs."""
        return [np.array(self._result[place]) for place in self._outputs]


def _open(job: Job) -> Any:
    """The model, opened as for its import.

    Raises:
        RuntimeError: TensorFlow does not take the model.
    """
    path = Path(job.source["path"]).absolute()
    saved = path.name == "saved_model.pb"
    form = "saved_model" if saved else "graph" if job.source["kind"] == "tensorflow" else "keras"
    sys.path.insert(0, str(_SCRIPTS))
    from tensorflow_open import OPEN
    from tensorflow_values import RefusedError

    os.chdir(job.folder)  # where a SavedModel gets a copy that saves nothing
    try:
        return OPEN[form](str(path.parent if saved else path))
    except RefusedError as error:
        raise RuntimeError(f"TensorFlow does not take it: {error}") from error


def _check_names(what: str, found: Collection[str], wanted: Collection[str]) -> None:
    absent = sorted(set(wanted) ^ set(found) if what == "input" else set(wanted) - set(found))
    if absent:
        raise ValueError(f"the model and its import differ in the {what} {absent[0]}")


RUNTIME = Runtime(
    name="tensorflow",
    title="TensorFlow",
    variant="FP32, XLA off",
    about="TensorFlow on the CPU in FP32, one traced function; only for TensorFlow and Keras models, from their files.",
    packages=("tensorflow-cpu",),
    modules=("tensorflow", "tf2onnx"),
    by_hand=find_environment(ENVIRONMENT).install,
    environment=ENVIRONMENT,
    runner=RunTensorflow,
    profiler=f"{__package__}.profiler:profile_tensorflow",
    peer=True,
    kinds=("tensorflow", "keras"),
)
