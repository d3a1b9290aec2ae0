"""PyTorch, eager: the unmodified framework, and the reference for models that come from it.

Set up for CPU inference as its performance tuning guide advises: evaluation mode, `torch.inference_mode`, channels-last
memory format; the same number of threads as the other runtimes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import WAITING, Choice, Job, Runtime
from tvmopt.pipeline.types import ModelSource

_LAYOUT = Choice(
    name="memory format",
    about="of images and convolutions; an exported program has its own",
    default="channels last",
    others=("contiguous",),
)
_ONEDNN = Choice(
    name="oneDNN", about="whether it computes convolutions, else PyTorch itself", default="on", others=("off",)
)


class RunPytorch:
    """Loads the user's module again and calls it."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self.module: Any = None
        self._torch: Any = None
        self._call: Any = None
        self._channels_last = False
        self._inputs: list[Any] = []
        self._result: Any = None

    def open_library(self) -> None:
        """Imports PyTorch."""
        import torch

        self._torch = torch

    def prepare(self, job: Job) -> None:
        """Does nothing."""

    def load(self, job: Job) -> None:
        """Builds the module from the user's source and sets its layout for CPU inference."""
        torch = self._torch
        torch.set_num_threads(job.threads)
        torch.set_num_interop_threads(1)
        torch.set_grad_enabled(False)
        module = load_network(job.source)
        torch.backends.mkldnn.set_flags(_ONEDNN.of(job) == "on")
        # An exported program's layouts are fixed.
        self._channels_last = self.layout.of(job) == "channels last" and job.source["kind"] == "python"
        if self._channels_last:
            module = module.to(memory_format=torch.channels_last)
        self.set_inputs(job.load_inputs())
        self.module = module
        self._call = self.compile(module)
        self.settings |= {
            "mode": "inference_mode, eval",
            "memory format": "channels last" if self._channels_last else "as exported",
            "intra-op threads": str(torch.get_num_threads()),
            "oneDNN": _ONEDNN.of(job),
        }

    layout = _LAYOUT

    def compile(self, module: Any) -> Any:
        """The callable for an inference; here the module itself."""
        return module

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Makes tensors of other inputs, in the same memory format."""
        self._inputs = [self._tensor(array) for array in inputs.values()]

    def run(self) -> None:
        """One inference on the input tensors."""
        with self._torch.inference_mode():
            self._result = self._call(*self._inputs)

    def read_outputs(self) -> list[np.ndarray]:
        """The last result's tensors, flattened from nested structures."""
        leaves = self._torch.utils._pytree.tree_leaves(self._result)
        return [leaf.detach().contiguous().numpy().copy() for leaf in leaves if isinstance(leaf, self._torch.Tensor)]

    def _tensor(self, array: np.ndarray) -> Any:
        tensor = self._torch.from_numpy(array)
        if self._channels_last and tensor.dim() == 4:
            return tensor.contiguous(memory_format=self._torch.channels_last)
        return tensor


def load_network(fields: Mapping[str, str]) -> Any:
    """The network that the job's source names, in evaluation mode."""
    from tvmopt.pipeline.importers.pytorch import export as pytorch

    values = {name: tuple(numbers) for name, numbers in json.loads(fields.get("values", "{}")).items()}
    source = ModelSource(fields["spec"], fields["kind"], Path(fields["path"]), fields.get("factory"), values)
    module, _ = pytorch.load_program_module(source) if source.kind == "pt2" else pytorch.load_module(source)
    return module


RUNTIME = Runtime(
    name="pytorch",
    title="PyTorch",
    variant="FP32, eager",
    about="The network as PyTorch runs it without a compiler: inference mode, channels-last memory format.",
    packages=("torch",),
    modules=("torch",),
    extra="torch",
    runner=RunPytorch,
    profiler=f"{__package__}.profiler:profile_pytorch",
    peer=True,
    kinds=("pt2", "python"),
    choices=(_LAYOUT, _ONEDNN, WAITING),
)
