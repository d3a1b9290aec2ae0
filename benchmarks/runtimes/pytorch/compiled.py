"""PyTorch compiled: `torch.compile` with Inductor.

Freezing is on, as Inductor's documentation advises for inference (weights become constants, are folded and packed).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import Any

from tvmopt.benchmarks.runtimes.base import WAITING, Choice, Job, Runtime
from tvmopt.benchmarks.runtimes.pytorch.runner import RunPytorch

_LAYOUT = Choice(
    name="memory format",
    about="of images and convolutions; an exported program has its own",
    default="contiguous",
    others=("channels last",),
)

_COMPILERS = ("g++", "clang++", "c++")


class RunPytorchCompile(RunPytorch):
    """Compiles the user's module with Inductor and calls the result."""

    layout = _LAYOUT

    def load(self, job: Job) -> None:
        """Wraps the module; Inductor compiles at the first run."""
        # A cache from an earlier run would hide the cost of compiling.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = tempfile.mkdtemp(prefix="inductor-", dir=job.folder)
        import torch._inductor.config as inductor

        inductor.freezing = True
        super().load(job)
        self.settings |= {"mode": "no_grad, eval", "compiler": "inductor, freezing, static shapes"}

    def compile(self, module: Any) -> Any:
        """The module wrapped by `torch.compile`."""
        return self._torch.compile(module, backend="inductor", dynamic=False)

    def run(self) -> None:
        """One inference; freezing works with no_grad, but not in inference mode."""
        with self._torch.no_grad():
            self._result = self._call(*self._inputs)


def find_compiler() -> str | None:
    """The C++ compiler that Inductor would use, or None."""
    wanted = os.environ.get("CXX")
    return shutil.which(wanted) if wanted else next(filter(None, map(shutil.which, _COMPILERS)), None)


def _lacks_compiler() -> str | None:
    if find_compiler():
        return None
    return "torch.compile needs a C++ compiler, and none is on the path: apt-get install g++ (or set CXX)"


RUNTIME = Runtime(
    name="pytorch-compile",
    title="PyTorch compiled",
    variant="FP32, torch.compile",
    about="The network compiled by PyTorch's Inductor with freezing; compiling is part of the first run.",
    packages=("torch",),
    modules=("torch",),
    extra="torch",
    runner=RunPytorchCompile,
    unprofiled="Inductor's frozen kernels do not say which layers they compute; profile pytorch instead",
    peer=True,
    kinds=("pt2", "python"),
    choices=(_LAYOUT, WAITING),
    lacks=_lacks_compiler,
)
