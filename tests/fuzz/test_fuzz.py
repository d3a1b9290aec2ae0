"""A few seeds of each family, and the parts that find and shrink what fails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.fuzz.drawing import draw, graph_model
from tests.fuzz.judge import Failure
from tests.fuzz.minimise import minimise
from tests.fuzz.search import FAMILIES, Found, save, try_seed
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.support.onnxruntime import open_session

SEEDS = range(1000, 1005)


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    with Forge() as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_random_graphs(forge: Forge, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, family: str, seed: int) -> None:
    """A failure here is looked into with ``nox -s fuzz -- --family F --from SEED --seeds 1``, which makes it small."""
    monkeypatch.setenv("TVM_NUM_THREADS", "")
    found = try_seed(family, seed, forge, limit_s=0)
    assert found is None, f"{found.failure}; the model is in {save(found, family, seed, tmp_path)}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_seed_always_draws_the_same_valid_model(family: str) -> None:
    kinds = set()
    for seed in range(12):
        model = draw(FAMILIES[family], seed)
        assert model == draw(FAMILIES[family], seed)
        assert 5 <= len(model.graph.node) <= 21
        onnx.checker.check_model(model)
        open_session(model)
        kinds |= {node.op_type for node in model.graph.node}
    assert len(kinds) > 20


def test_only_what_makes_a_model_fail_is_left(tmp_path: Path) -> None:
    """The failure is a Tanh behind a MatMul; neither the way there nor the sizes matter."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Transpose", ["a"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Sigmoid", ["b"], ["c"]),
        helper.make_node("Tanh", ["b"], ["d"]),
        helper.make_node("Add", ["d", "c"], ["e"]),
    ]
    x, w = np.ones((5, 7), np.float32), np.ones((7, 9), np.float32)
    model = graph_model(nodes, {"x": x}, {"e": None, "t": None}, {"w": w}, 21)

    def fails(smaller: onnx.ModelProto) -> bool:
        open_session(smaller)  # every model that is tried is valid
        made = {name: node.op_type for node in smaller.graph.node for name in node.output}
        return any(node.op_type == "Tanh" and made.get(node.input[0]) == "MatMul" for node in smaller.graph.node)

    small = minimise(model, fails, 60.0)
    assert [node.op_type for node in small.graph.node] == ["MatMul", "Tanh"]
    assert [tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in small.graph.input] == [(1, 1)]
    path = save(Found(Failure("run", "Tanh"), small), "matrices", 7, tmp_path / "new")
    assert path.name == "matrices_7.onnx"
    assert onnx.load(io.BytesIO(path.read_bytes())) == small


def test_failures_are_alike_whatever_their_names_and_numbers() -> None:
    one = Failure("values", "v7 is off by 0.5 on tied inputs")
    assert one.kind == Failure("values", "v12 is off by inf on tied inputs").kind
    assert one.kind != Failure("values", "v7 is off by 0.5 on zero inputs").kind
    assert one.kind != Failure("verify", one.message).kind
