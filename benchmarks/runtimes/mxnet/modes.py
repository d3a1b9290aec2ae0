"""MXNet's other ways to run a network: as a hybridised Gluon block, and imperatively, operator by operator."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tvmopt.benchmarks.runtimes.mxnet.runner import FUSION, Network, RunMxnet
from tvmopt.benchmarks.runtimes.mxnet.runner import RUNTIME as SYMBOLIC


class RunMxnetHybrid(RunMxnet):
    """Makes a Gluon block of the symbol, and hybridises it with static memory and shapes."""

    interface = "Gluon block, hybridised with static_alloc and static_shape"

    def subgraph_backend(self, onednn: bool) -> str:
        """None: Gluon does not read MXNet's variable."""
        return "none"

    def make_call(self, mxnet: Any, network: Network) -> Callable[[], Sequence[Any]]:
        """As `RunMxnet.make_call`."""
        block = mxnet.gluon.SymbolBlock(network.symbol, [mxnet.symbol.var(name) for name in network.inputs])
        for name, parameter in block.collect_params().items():
            array = network.arguments[name] if name in network.arguments else network.states[name]
            parameter.shape = array.shape
            parameter.dtype = array.dtype
            parameter.initialize(ctx=mxnet.cpu())
            parameter.set_data(array)
        block.hybridize(static_alloc=True, static_shape=True)
        inputs = [network.arguments[name] for name in network.inputs]

        def call() -> Sequence[Any]:
            result = block(*inputs)
            return result if isinstance(result, list | tuple) else (result,)

        return call


class RunMxnetImperative(RunMxnet):
    """Calls the operators of the symbol one after the other, as a Gluon block does that is not hybridised."""

    interface = "imperative: mxnet.nd's operators, one call each"

    def subgraph_backend(self, onednn: bool) -> str:
        """None: there is no graph."""
        return "none"

    def make_call(self, mxnet: Any, network: Network) -> Callable[[], Sequence[Any]]:
        """As `RunMxnet.make_call`."""
        graph = json.loads(network.symbol.tojson())
        fixed = network.arguments | network.states
        steps = []
        for place, node in enumerate(graph["nodes"]):
            if node["op"] == "null":
                continue
            operator = _operator(mxnet, node["op"])
            options = {key: value for key, value in node.get("attrs", {}).items() if not key.startswith("__")}
            steps.append((place, operator, [tuple(edge[:2]) for edge in node["inputs"]], options))
        given = {(place, 0): fixed[node["name"]] for place, node in enumerate(graph["nodes"]) if node["op"] == "null"}
        heads = [tuple(edge[:2]) for edge in graph["heads"]]

        def call() -> Sequence[Any]:
            values = dict(given)
            for place, operator, edges, options in steps:
                result = operator(*(values[edge] for edge in edges), **options)
                if isinstance(result, list | tuple):
                    values.update(((place, number), value) for number, value in enumerate(result))
                else:
                    values[place, 0] = result
            return [values[head] for head in heads]

        return call


def _operator(mxnet: Any, name: str) -> Callable[..., Any]:
    """The imperative function of an operator."""
    nd = mxnet.nd
    homes = {"": nd, "_": nd._internal, "_contrib_": nd.contrib, "_image_": nd.image, "_linalg_": nd.linalg}
    for prefix, module in homes.items():
        for called in (name, name.removeprefix(prefix)):
            function: Callable[..., Any] | None = getattr(module, called, None) if name.startswith(prefix) else None
            if function is not None:
                return function
    raise RuntimeError(f"MXNet has no imperative form of {name}")


_CHOICES = tuple(choice for choice in SYMBOLIC.choices if choice is not FUSION)

HYBRID = replace(
    SYMBOLIC,
    name="mxnet-hybrid",
    title="MXNet hybridised",
    variant="FP32, hybridised",
    about="MXNet's Gluon, hybridised with static memory; only for MXNet networks, from their own files.",
    runner=RunMxnetHybrid,
    choices=_CHOICES,
)
IMPERATIVE = replace(
    SYMBOLIC,
    name="mxnet-imperative",
    title="MXNet imperative",
    variant="FP32, imperative",
    about="MXNet's operators called one by one; only for MXNet networks, from their own files.",
    runner=RunMxnetImperative,
    choices=_CHOICES,
)
