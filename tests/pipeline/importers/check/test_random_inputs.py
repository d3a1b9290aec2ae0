from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.check.random_inputs import random_inputs
from tvmopt.pipeline.types import TensorSpec

Parse = Callable[..., onnx.ModelProto]
RELU = "g (float[1] x) => (float[1] y) { y=Relu(x) }"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "uint8", "uint16", "bool"])
def test_arrays_fit_their_specs(parse: Parse, dtype: str) -> None:
    graph = parse(RELU).graph
    (array,) = random_inputs([TensorSpec("x", (3, 5), dtype)], graph).values()
    assert array.shape == (3, 5)
    assert array.dtype == dtype
    assert len(np.unique(array)) > 1
    if array.dtype.kind in "iu":
        assert array.min() >= 0


def test_a_seed_gives_the_same_arrays_again(parse: Parse) -> None:
    specs = [TensorSpec("a", (4,), "float32"), TensorSpec("b", (), "float32")]
    first, again, other = (random_inputs(specs, parse(RELU).graph, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name], again[name]) for name in ("a", "b"))
    assert not np.array_equal(first["a"], other["a"])


@pytest.mark.parametrize(
    "nodes",
    [
        "y=Gather(w,x)",
        "y=Gather<axis=1>(v,x)",
        "r=Unsqueeze(x,axis) y=Gather(w,r)",
        "c=Cast<to=6>(x) y=Gather(w,c)",
        "p=Gather(big,x) y=Gather(w,x)",
    ],
)
def test_indices_lie_within_the_table(parse: Parse, nodes: str) -> None:
    tables = {"w": np.ones((2, 4), np.float32), "v": np.ones((9, 2), np.float32), "big": np.ones(99, np.float32)}
    model = parse(f"g (int64[200] x) => (float[n] y) {{ {nodes} }}", axis=np.array([0]), **tables)
    (array,) = random_inputs([TensorSpec("x", (200,), "int64")], model.graph).values()
    assert set(array.tolist()) == {0, 1}


def test_inputs_beyond_all_memory_are_refused(parse: Parse) -> None:
    with pytest.raises(UnsupportedModelError, match="40000000000 bytes"):
        random_inputs([TensorSpec("x", (100_000, 100_000), "float32")], parse(RELU).graph)
