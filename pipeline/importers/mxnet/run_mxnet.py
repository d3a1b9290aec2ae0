"""Runs an MXNet network with MXNet; a script that needs nothing of this project.

Arguments: the ``-symbol.json``, the ``.params``, an ``.npz`` of inputs, a JSON list of outputs' names, and the ``.npz``
to write: an array for each of those that MXNet has, by name.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = {"bool": bool, "int": int, "float": float, "complex": complex, "object": object, "str": str}
_NUMBERS = {"PZERO": 0.0, "NZERO": -0.0, "PINF": np.inf, "NINF": -np.inf, "Inf": np.inf, "Infinity": np.inf}
_MORE_NUMBERS = {"infty": np.inf, "NAN": np.nan, "NaN": np.nan}
_OTHERS = {"product": "prod", "sometrue": "any", "alltrue": "all", "round_": "round", "float_": "float64"}


def restore_numpy_names() -> None:
    """Puts back the names that MXNet 1.9.1 takes from numpy when it is imported, and that numpy 2 has no more.

    Functions that it only hands on raise NotImplementedError when they are called.
    """

    def gone(*arguments: Any, **options: Any) -> None:
        raise NotImplementedError("numpy has removed this function")

    old = {**_TYPES, **_NUMBERS, **_MORE_NUMBERS, **{name: getattr(np, other) for name, other in _OTHERS.items()}}
    for name, value in old.items():
        if name not in np.__dict__:
            setattr(np, name, value)
    spec = importlib.util.find_spec("mxnet")
    assert spec is not None
    assert spec.origin is not None
    fallback = Path(spec.origin).with_name("numpy") / "fallback.py"
    for name in set(re.findall(r"onp\.(\w+)", fallback.read_text())):
        if not hasattr(np, name):
            setattr(np, name, gone)


def reason_of(message: str) -> str:
    """The line of MXNet's message that says what is wrong; the others are places in its source."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Traceback", "File ", "[bt]"))]
    return next(iter([*told, *lines]), "no message")


def main(symbol: str, params: str, inputs: str, names: str, outputs: str) -> None:
    """Reads, binds, runs and writes; ends with one line where MXNet does not take the network."""
    # Fused convolutions give wrong values where what is inside of them is an output, too.
    os.environ["MXNET_SUBGRAPH_BACKEND"] = "NONE"
    restore_numpy_names()
    import mxnet

    try:
        computed = _run(mxnet, (symbol, params), inputs, json.loads(names))
    except mxnet.base.MXNetError as error:
        sys.exit(reason_of(str(error)))
    np.savez(outputs, **computed)


def _run(mxnet: Any, files: tuple[str, str], inputs: str, names: list[str]) -> dict[str, Any]:
    symbol, params = files
    network = mxnet.symbol.load(symbol)
    inner = network.get_internals()
    known = set(inner.list_outputs())
    wanted = [name for name in names if name in known]
    network = mxnet.symbol.Group([inner[name] for name in wanted])
    with np.load(inputs) as arrays:
        feed = {name: mxnet.nd.array(arrays[name], dtype=arrays[name].dtype) for name in arrays}
    stored = {name.partition(":")[2]: array for name, array in mxnet.nd.load(params).items()}
    arguments = {name: (feed | stored).get(name) for name in network.list_arguments()}
    shapes = {name: array.shape for name, array in arguments.items() if array is not None}
    for name, shape in zip(network.list_arguments(), network.infer_shape(**shapes)[0], strict=True):
        if arguments[name] is None:  # labels, which only training reads
            arguments[name] = mxnet.nd.zeros(shape)
    states = {name: stored[name] for name in network.list_auxiliary_states()}
    executor = network.bind(mxnet.cpu(), arguments, aux_states=states, grad_req="null")
    results = executor.forward(is_train=False)
    return {name: result.asnumpy() for name, result in zip(wanted, results, strict=True)}


if __name__ == "__main__":
    main(*sys.argv[1:])
