"""The parts of the scripts that need no TensorFlow, and the command line on its models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tvmopt.pipeline.importers.tensorflow as package
from tests.conftest import RunTvmopt
from tests.pipeline.importers.tensorflow.files import made


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder of scripts among those of modules, as the scripts themselves have it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(Path(package.__file__).parent / "scripts"))
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("tensorflow_", "tflite_")):
            del sys.modules[name]


def test_sets_of_nodes_are_ordered_as_they_were_made(scripts: None) -> None:
    from tensorflow_values import number_nodes

    class Node:
        """As tf2onnx has it: equal only to itself, and hashed by its place in memory."""

        def __init__(self, name: str) -> None:
            self.name = name

    spread = [object() for _ in range(7)]  # so that places in memory do not rise evenly
    assert spread
    number_nodes(Node)
    nodes = [Node(f"n{place}") for place in range(50)]
    assert [node.name for node in set(nodes[25:] + nodes[:25])] == [f"n{place}" for place in range(50)]
    assert nodes[0] != Node("n0")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "framework"), [("net.keras", "Keras"), ("float16.tflite", "LiteRT")])
def test_an_artifact_is_verified_against_the_framework(
    name: str, framework: str, tmp_path: Path, run_tvmopt: RunTvmopt
) -> None:
    model = str(made() / name)
    assert run_tvmopt("compile", model, "-o", "net.tar", "--threads", "1").returncode == 0
    done = run_tvmopt("verify", model, "net.tar")
    assert done.returncode == 0, done.stderr
    assert f"with {framework})" in done.stdout
    assert "no comparison" not in done.stdout
