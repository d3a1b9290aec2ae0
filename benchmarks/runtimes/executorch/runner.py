"""ExecuTorch with XNNPACK in FP32, on the user's PyTorch network.

Set up as its documentation advises for CPUs: the program that torch.export makes is lowered with XNNPACK's partitioner,
images are stored with channels last, so that XNNPACK transposes no input, and its threads are as many as those of the
other runtimes. What XNNPACK does not take runs in ExecuTorch's own portable kernels, on one thread.

ExecuTorch pins packages and therefore has an environment of its own (`pipeline.devices.environments`) but runs in this
project's Python, in a process that takes its packages from there. The inputs stay where they are: a run copies none in,
and outputs are copied when they are read.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import Job, Runtime
from tvmopt.benchmarks.runtimes.pytorch.exported import Converter, convert_network
from tvmopt.pipeline.devices.environments.borrow import borrow
from tvmopt.pipeline.devices.environments.registry import find_environment

_ENVIRONMENT = "executorch"
_MODEL = "model.pte"
_CONVERTER = Converter(
    environment=_ENVIRONMENT,
    title="ExecuTorch",
    script=Path(__file__).with_name("convert.py"),
    decides=("executorch", "torch", "torchao"),
    suffix=".pte",
)
_BACKEND = "XnnpackBackend"


class RunExecutorch:
    """Lowers the user's PyTorch network and runs it with ExecuTorch."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._library: Any = None
        self._torch: Any = None
        self._program: Any = None
        self._method: Any = None
        self._names: list[str] = []
        self._inputs: list[Any] = []

    def open_library(self) -> None:
        """Imports ExecuTorch, and the PyTorch beside it, from its environment."""
        borrow(find_environment(_ENVIRONMENT), "ExecuTorch", first=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its interface calls itself experimental
            import torch
            from executorch.extension.pybindings import portable_lib

        self._torch, self._library = torch, portable_lib

    def prepare(self, job: Job) -> None:
        """Lowers the network in ExecuTorch's environment, unless that was done before.

        Raises:
            RuntimeError: when it cannot be lowered.
        """
        convert_network(_CONVERTER, job, Path(job.folder) / _MODEL)

    def load(self, job: Job) -> None:
        """Loads the program and binds its inputs.

        Raises:
            RuntimeError: this build of ExecuTorch lacks XNNPACK, or does not take the program.
        """
        library = self._library
        if _BACKEND not in library._get_registered_backend_names():
            raise RuntimeError("this build of ExecuTorch has no XNNPACK")
        library._unsafe_reset_threadpool(job.threads)
        self._program = library._load_program(str(Path(job.folder) / _MODEL))
        self._method = self._program.load_method("forward")
        inputs = job.load_inputs()
        self._names = list(inputs)
        self.set_inputs(inputs)
        self.settings |= {
            "version": metadata.version("executorch"),
            "backend": "XNNPACK, what it does not take in portable kernels",
            "threads": str(library._threadpool_get_thread_count()),
            "precision": "fp32",
            "conversion": "torch.export, lowered with XNNPACK's partitioner, images with channels last",
        }

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Binds these arrays, by the inputs' names."""
        self._inputs = [self._tensor(inputs[name]) for name in self._names]
        self._method.set_inputs(self._inputs)

    def run(self) -> None:
        """One inference on the input tensors."""
        self._method.execute()

    def read_outputs(self) -> list[np.ndarray]:
        """Copies of the last run's outputs."""
        outputs = self._method.get_outputs(clone_outputs=True)
        return [output.detach().contiguous().numpy().copy() for output in outputs]

    def _tensor(self, array: np.ndarray) -> Any:
        tensor = self._torch.from_numpy(array)
        return tensor.contiguous(memory_format=self._torch.channels_last) if tensor.dim() == 4 else tensor


RUNTIME = Runtime(
    name="executorch",
    title="ExecuTorch",
    variant="FP32, XNNPACK",
    about="ExecuTorch with XNNPACK in FP32, on what torch.export and its partitioner make of PyTorch networks.",
    packages=("executorch",),
    modules=("executorch",),
    by_hand=find_environment(_ENVIRONMENT).install,
    environment=_ENVIRONMENT,
    runner=RunExecutorch,
    unprofiled="the packaged build does not record operator times",
    peer=True,
    prepared="per batch",
    kinds=("pt2", "python"),
)
