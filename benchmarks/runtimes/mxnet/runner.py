"""MXNet on the CPU in FP32, from the network's own symbol and parameters.

Set up with its defaults: the symbol is bound once, without gradients; oneDNN is on, and so is its subgraph backend,
which fuses convolutions with what follows; its kernels have as many threads (OpenMP) as the other runtimes, and the
engine one worker, which is enough for one request. MXNet needs an environment of its own
(`pipeline.devices.environments`) but runs in this project's Python, which finds it there behind its own packages.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvmopt.benchmarks.runtimes.base import WAITING, Choice, Job, Runtime, refuse_values
from tvmopt.pipeline.devices.environments.borrow import borrow
from tvmopt.pipeline.devices.environments.registry import find_environment

_ONEDNN = Choice(
    name="oneDNN",
    about="whether it computes layers, else MXNet itself",
    default="on",
    others=("0",),
    variable="MXNET_MKLDNN_ENABLED",
)
FUSION = Choice(
    name="fusion",
    about="whether layers are fused into oneDNN's when the symbol is bound",
    default="on",
    others=("NONE",),
    variable="MXNET_SUBGRAPH_BACKEND",
)

_ENVIRONMENT = "mxnet"


@dataclass(frozen=True, slots=True)
class Network:
    """An MXNet network, read and ready to run.

    Attributes:
        symbol: its symbol.
        inputs: names of its inputs, of those in `arguments`.
        arguments: arrays of its inputs and weights, by name.
        states: arrays of its auxiliary states, by name.
    """

    symbol: Any
    inputs: tuple[str, ...]
    arguments: dict[str, Any]
    states: dict[str, Any]


class RunMxnet:
    """Binds an MXNet network's symbol and runs it."""

    interface = "symbol, bound once without gradients"

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        self._mxnet: Any = None
        self._call: Callable[[], Sequence[Any]] = tuple
        self._outputs: Sequence[Any] = ()
        self._network: Network | None = None

    def open_library(self) -> None:
        """Imports MXNet from its environment.

        Raises:
            RuntimeError: the environment has another release of Python than this one.
        """
        from tvmopt.pipeline.importers.mxnet.run_mxnet import restore_numpy_names

        borrow(find_environment(_ENVIRONMENT), "MXNet")
        restore_numpy_names()
        import mxnet

        self._mxnet = mxnet

    @property
    def library(self) -> Any:
        """The module, once it is imported."""
        return self._mxnet

    def prepare(self, job: Job) -> None:
        """Does nothing: the network is bound when it is loaded."""

    def load(self, job: Job) -> None:
        """Reads and binds the network with its inputs.

        Raises:
            RuntimeError: MXNet cannot run the network; one line.
            ValueError: MXNet's symbol has no output by the name of one of the model's.
        """
        from tvmopt.pipeline.importers.mxnet.run_mxnet import reason_of

        try:
            self._network = self._read(job)
            self._call = self.make_call(self._mxnet, self._network)
            self._outputs = self._call()
            self._mxnet.nd.waitall()
        except self._mxnet.base.MXNetError as error:
            raise RuntimeError(f"MXNet cannot run it: {reason_of(str(error))}") from error
        mxnet = self._mxnet
        onednn = mxnet.runtime.Features().is_enabled("MKLDNN")
        self.settings |= {
            "version": str(mxnet.__version__),
            "interface": self.interface,
            "oneDNN": "on (the default)" if onednn else "not in this build",
            "subgraph backend": self.subgraph_backend(onednn),
            "threads": f"{job.threads} (OMP_NUM_THREADS), one engine worker",
            "precision": "fp32",
            "read from": "the MXNet network's own files",
        }

    def make_call(self, mxnet: Any, network: Network) -> Callable[[], Sequence[Any]]:
        """What runs the network: it starts an inference, and returns the arrays of its outputs."""
        executor = network.symbol.bind(mxnet.cpu(), network.arguments, aux_states=network.states, grad_req="null")
        return lambda: executor.forward(is_train=False)

    def subgraph_backend(self, onednn: bool) -> str:
        """What fuses operators: of a bound symbol, what MXNet's variable says."""
        return os.environ.get("MXNET_SUBGRAPH_BACKEND", "MKLDNN (the default)" if onednn else "none")

    def set_inputs(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Writes other inputs into the arrays that the network is bound to."""
        assert self._network is not None
        for name in self._network.inputs:
            self._network.arguments[name][:] = inputs[name]

    def run(self) -> None:
        """One inference; returns when its outputs are computed."""
        self._outputs = self._call()
        for output in self._outputs:
            output.wait_to_read()

    def read_outputs(self) -> list[np.ndarray]:
        """Copies of the last run's outputs."""
        return [output.asnumpy() for output in self._outputs]

    def _read(self, job: Job) -> Network:
        from tvmopt.pipeline.importers.mxnet.params import find_files

        refuse_values(job)
        mxnet = self._mxnet
        symbol, params = find_files(Path(job.source["path"]))
        inner = mxnet.symbol.load(str(symbol)).get_internals()
        absent = sorted(set(job.outputs) - set(inner.list_outputs()))
        if absent:
            raise ValueError(f"MXNet's symbol has no output {absent[0]}")
        network = mxnet.symbol.Group([inner[name] for name in job.outputs])
        feed = {name: mxnet.nd.array(array, dtype=array.dtype) for name, array in job.load_inputs().items()}
        stored = {name.partition(":")[2]: array for name, array in mxnet.nd.load(str(params)).items()}
        given = feed | stored
        names = network.list_arguments()
        shapes, _, _ = network.infer_shape(**{name: given[name].shape for name in names if name in given})
        # Labels, which only training reads, have no values.
        arguments = {
            name: given[name] if name in given else mxnet.nd.zeros(shape)
            for name, shape in zip(names, shapes, strict=True)
        }
        states = {name: stored[name] for name in network.list_auxiliary_states()}
        return Network(network, tuple(name for name in names if name in feed), arguments, states)


RUNTIME = Runtime(
    name="mxnet",
    title="MXNet",
    variant="FP32, symbolic",
    about="MXNet on the CPU in FP32, its symbol bound once; only for MXNet networks, from their own files.",
    packages=("mxnet",),
    modules=("mxnet",),
    by_hand=find_environment(_ENVIRONMENT).install,
    environment=_ENVIRONMENT,
    runner=RunMxnet,
    profiler=f"{__package__}.profiler:profile_mxnet",
    peer=True,
    kinds=("mxnet",),
    choices=(_ONEDNN, FUSION, WAITING),
)
