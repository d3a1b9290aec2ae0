"""Computes the results of the cases with MXNet and writes them beside this file.

Run it where MXNet is installed: ``PYTHONPATH=. python tests/pipeline/importers/mxnet/reference.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.pipeline.importers.mxnet.cases import CASES, Case

RESULTS = Path(__file__).with_name("results.npz")


def by_mxnet(case: Case) -> dict[str, np.ndarray]:
    """The symbol as MXNet writes it, and the outputs of the case as it computes them."""
    import mxnet

    place: Any = mxnet.sym
    for part in case.operator.split("."):
        place = getattr(place, part)
    arrays = case.arrays()
    symbol = place(*(mxnet.sym.Variable(name) for name in arrays), name="op", **case.attributes)
    held = set(symbol.list_auxiliary_states())
    stored = {name: mxnet.nd.array(array) for name, array in arrays.items()}
    executor = symbol.bind(
        mxnet.cpu(),
        {name: array for name, array in stored.items() if name not in held},
        aux_states={name: array for name, array in stored.items() if name in held},
        grad_req="null",
    )
    found = {"symbol": np.frombuffer(symbol.tojson().encode(), np.uint8)}
    outputs = executor.forward(is_train=False)
    return found | {f"output{place}": output.asnumpy() for place, output in enumerate(outputs)}


def main() -> None:
    """Writes the file."""
    results = {f"{case.name}/{name}": array for case in CASES for name, array in by_mxnet(case).items()}
    np.savez_compressed(RESULTS, **results)


if __name__ == "__main__":
    main()
