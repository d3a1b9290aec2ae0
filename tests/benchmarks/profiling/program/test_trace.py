"""Which stage and function the tracer gives a program's time to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tvmopt.benchmarks.profiling.program.stages import (
    IMPORTING,
    INFERRING,
    LOADING,
    PREPARING,
    READING,
    Rules,
    order_stages,
)
from tvmopt.benchmarks.profiling.program.trace import Tracer

HERE = Path(__file__).resolve()


def trace(function: object, **named: str) -> dict[str, dict[str, tuple[float, int]]]:
    """By stage: seconds and calls of each function of this file, or of a library."""
    tracer = Tracer(Rules(named, HERE))
    tracer.run(function)  # type: ignore[arg-type]  # a function without arguments
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for (stage, name), spent in tracer.times.items():
        found.setdefault(stage, {})[name] = (spent.seconds, spent.calls)
    return found


def seconds(found: dict[str, dict[str, tuple[float, int]]], stage: str) -> float:
    return sum(taken for taken, _ in found.get(stage, {}).values())


def test_each_moment_belongs_to_one_stage(tmp_path: Path) -> None:
    """Stages add up to the whole call, and a call inside a stage does not count a second time."""
    file = tmp_path / "rows.csv"
    np.savetxt(file, np.arange(600.0).reshape(200, 3))
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())

    def program() -> None:
        rows = np.loadtxt(file)
        time.sleep(0.05)
        with torch.no_grad():
            network(torch.tensor(rows, dtype=torch.float32))

    start = time.perf_counter()
    found = trace(program)
    whole = time.perf_counter() - start
    assert set(found) == {READING, PREPARING, INFERRING}
    assert [name.rpartition(".")[2] for name in found[READING]] == ["loadtxt"]  # not what it opens
    assert list(found[INFERRING]) == ["torch.nn.modules.container.Sequential"]  # not the modules in it
    assert found[INFERRING]["torch.nn.modules.container.Sequential"][1] == 1
    assert seconds(found, PREPARING) >= 0.05
    assert found[PREPARING]["time.sleep"][0] >= 0.05
    total = sum(seconds(found, stage) for stage in found)
    assert total <= whole
    assert total >= 0.05


def test_the_programs_own_functions() -> None:
    """Their names come before what is known of libraries; a library's function of that name is not meant."""

    def decode() -> None:
        HERE.open().close()
        time.sleep(0.02)

    def program() -> None:
        decode()
        HERE.read_bytes()
        b"x".decode()

    found = trace(program, decode="finishing")
    assert seconds(found, "finishing") >= 0.02
    assert list(found["finishing"]) == ["test_trace.test_the_programs_own_functions.<locals>.decode"]
    assert set(found) == {"finishing", PREPARING, READING}


def test_exceptions_and_generators_close_their_calls() -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)

    def fails() -> None:
        raise KeyError

    def program() -> None:
        for _ in range(5):
            with pytest.raises(KeyError):
                fails()
            with pytest.raises(FileNotFoundError):
                Path("/nowhere/at/all").read_bytes()
        time.sleep(0.02)
        assert list(numbers()) == [0, 1, 2]

    found = trace(program)
    assert found[PREPARING]["time.sleep"][0] >= 0.02  # not reading: the failed calls are closed
    opened = {name: calls for name, (_, calls) in found[READING].items()}
    assert sum(opened.values()) == 5


def test_an_exception_of_the_program_passes_through() -> None:
    tracer = Tracer(Rules())

    def program() -> None:
        time.sleep(0.01)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        tracer.run(program)
    assert tracer.times[PREPARING, "time.sleep"].calls == 1


@pytest.mark.parametrize(
    ("module", "name", "stage"),
    [
        ("numpy.lib._npyio_impl", "loadtxt", READING),
        ("pandas.io.parsers.readers", "read_csv", READING),
        ("PIL.Image", "open", READING),
        ("_frozen_importlib", "_find_and_load", IMPORTING),
        ("torch.serialization", "load", LOADING),
        ("onnxruntime.capi.onnxruntime_inference_collection", "InferenceSession.__init__", LOADING),
        ("onnxruntime.capi.onnxruntime_inference_collection", "Session.run", INFERRING),
        ("openvino._ov_api", "CompiledModel.__call__", INFERRING),
        ("tvmopt.pipeline.artifact.loaded", "LoadedArtifact.run", INFERRING),
        ("sklearn.linear_model._base", "LinearClassifierMixin.predict", INFERRING),
        ("numpydoc", "load", None),
        ("mine", "load", None),
    ],
)
def test_calls_of_libraries(module: str, name: str, stage: str | None) -> None:
    assert Rules().of_function("x.py", module, name) == stage


def test_the_libraries_still_have_the_names_that_the_rules_know() -> None:
    """A rule for a renamed function would silently count its time as preparing."""
    import onnxruntime
    import openvino

    from tvmopt.pipeline.artifact.loaded import LoadedArtifact, load_artifact

    network = torch.nn.Linear(1, 1)
    known = {
        np.loadtxt: READING,
        np.load: READING,
        torch.load: LOADING,
        network.load_state_dict: LOADING,
        type(network).__call__: INFERRING,
        onnxruntime.InferenceSession.__init__: LOADING,
        onnxruntime.InferenceSession.run: INFERRING,
        openvino.CompiledModel.__call__: INFERRING,
        openvino.Core.compile_model: LOADING,
        load_artifact: LOADING,
        LoadedArtifact.run: INFERRING,
    }
    for function, stage in known.items():
        inner = getattr(function, "__wrapped__", function)
        assert Rules().of_function("x.py", inner.__module__, inner.__qualname__) == stage, function


def test_transforms_of_pictures_prepare() -> None:
    class Normalize(torch.nn.Identity):
        """As torchvision's, whose module it claims."""

    Normalize.__module__ = "torchvision.transforms.v2"
    assert set(trace(lambda: Normalize()(torch.zeros(3)))) == {PREPARING}


def test_the_order_of_stages() -> None:
    assert order_stages({"zeta", INFERRING, "alpha", READING}) == [READING, INFERRING, "alpha", "zeta"]
