"""A profile of a small network in several runtimes: the document, and missing runtimes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import tiny
from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.profiling.profile_artifact import profile_artifact
from tvmopt.benchmarks.profiling.profile_model import DEFAULTS, SCHEMA, ProfileOptions, profile_model
from tvmopt.pipeline.errors import RuntimeMissingError, UsageError
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan

pytestmark = pytest.mark.slow  # a process or two for each test

ROOFLINE = Roofline(1, 1e11, ((1 << 15, 1e11), (1 << 30, 1e10)))


class Steps(Listener):
    """Counts the events it receives."""

    def __init__(self) -> None:
        self.foreseen, self.told = 0, list[str]()

    def tell(self, event: Event) -> None:
        if isinstance(event, StepBegan):
            assert event.of is not None
            self.foreseen = event.of
            self.told.append(event.text)


@pytest.fixture(autouse=True)
def _measured_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The roofline is already cached: measuring it takes fifteen seconds and has separate tests."""
    for module in ("tvmopt.benchmarks.profiling.profile_model", "tvmopt.benchmarks.profiling.profile_artifact"):
        monkeypatch.setattr(f"{module}.measure_roofline", lambda threads: ROOFLINE)


def test_a_model_in_several_runtimes(tmp_path: Path) -> None:
    model = tiny.save_two_convolutions(tmp_path)
    steps = Steps()
    runtimes = ("onnxruntime", "tvmopt", "pytorch", "pytorch-compile")
    options = ProfileOptions(str(model), runtimes, threads=1, logs=(tmp_path / "logs",), seconds=0.2)
    document = json.loads(json.dumps(profile_model(options, steps)))
    assert (document["schema"], document["schema_version"]) == (SCHEMA, 2)
    assert document["model"]["name"] == "two"
    assert document["model"]["spec"] == "two.onnx"
    assert document["notes"] == {"tvmopt": DEFAULTS}
    assert document["environment"]["cpu"]
    table = LayerTable.from_json(document)
    assert (table.batch, table.threads, table.roofline) == (1, 1, ROOFLINE)
    assert table.order == tuple(table.costs)
    assert list(table.entries) == ["pytorch", "pytorch-compile", "onnxruntime", "tvmopt"]
    assert table.absent["pytorch"].message == "not applicable: the model is an ONNX file"
    assert "Inductor" in table.absent["pytorch-compile"].message
    assert set(table.profiles) == {"onnxruntime", "tvmopt"}
    for profile in table.profiles.values():
        assert {layer for kernel in profile.kernels for layer in kernel.layers} == set(table.order)
    assert len(steps.told) == steps.foreseen


def test_an_existing_artifact(tmp_path: Path) -> None:
    path = tmp_path / "model.tar"
    path.write_bytes(tiny.artifact(threads=1))
    table = LayerTable.from_json(profile_artifact(ProfileOptions(str(path), seconds=0.2)))
    model = tiny.load()
    assert set(table.order) == {node.name for node in model.original.graph.node}
    # Multiply-adds as two: a 3x3 convolution of 8 channels to 16, and a 1x1 of 16 to 16, on 14x14.
    assert sum(cost.flops for cost in table.costs.values()) >= 2 * 14 * 14 * 16 * (8 * 9 + 16)
    (profile,) = table.profiles.values()
    assert profile.mapped == 1


def test_no_runtime_that_can_be_profiled(tmp_path: Path) -> None:
    model = tiny.save_two_convolutions(tmp_path)
    with pytest.raises(RuntimeMissingError, match="none of the runtimes can be profiled: pytorch: not applicable"):
        profile_model(ProfileOptions(str(model), ("pytorch",), threads=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"runtimes": ("onxruntime",)}, "unknown runtime 'onxruntime'; did you mean onnxruntime"),
        ({"threads": 4096}, "threads must be at most"),
        ({"threads": -1}, "threads must be at least 1, got -1"),
        ({"seconds": 0.0}, "seconds must be above 0 and below 3600, got 0"),
    ],
)
def test_wrong_options(options: dict[str, object], message: str, tmp_path: Path) -> None:
    model = tiny.save_two_convolutions(tmp_path)
    with pytest.raises(UsageError, match=message):
        profile_model(ProfileOptions(str(model), **options))  # type: ignore[arg-type]  # one kind each
