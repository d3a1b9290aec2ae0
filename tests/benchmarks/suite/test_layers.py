"""The layers in which tvmopt loses time, as the suite prints them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests import tiny
from tests.benchmarks.layered import make_table
from tvmopt.benchmarks.machine.environment import read_environment
from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.suite import networks as suite
from tvmopt.benchmarks.suite.layers import LayerBench, losses_of, profile_networks, write_profiles
from tvmopt.pipeline.support.progress import Listener


def document() -> dict[str, Any]:
    """A hand-made profile."""
    model = {"name": "net", "spec": "net.onnx", "kind": "onnx", "sha256": "0"}
    notes = {"tvmopt": "all kernels by their default schedules"}
    facts = {"schema": "tvmopt-profile", "schema_version": 1, "created": "", "environment": read_environment()}
    return facts | {"model": model, "notes": notes} | make_table().to_json()


def test_losses() -> None:
    text = losses_of(document())
    assert text.startswith("net, batch 1, 2 threads\ntvmopt tuned: all kernels by their default schedules\n")
    assert "PyTorch compiled: its kernels cannot be told apart" in text
    assert "Where tvmopt tuned loses most time against the best peer:" in text
    assert "Where tvmopt tuned loses most time against the roofline:" in text


def test_files(tmp_path: Path) -> None:
    files = write_profiles([document(), document()], tmp_path / "day-layers")
    assert [path.name for path in files] == ["day-layers.json", "day-layers.md"]
    data = json.loads(files[0].read_text())
    assert (data["schema"], data["schema_version"], len(data["profiles"])) == ("tvmopt-profiles", 1, 2)
    text = files[1].read_text()
    assert text.count("## net, batch 1, 2 threads") == 2
    assert "| conv +1 |" in text


@pytest.mark.parametrize("option", [("--check",), ("--trials", "1"), ("--rounds", "5")])
def test_options_that_only_a_comparison_has(option: tuple[str, ...]) -> None:
    done = CliRunner().invoke(suite.main, ["--layers", *option])
    assert done.exit_code == 2
    assert f"{option[0]} does not go with --layers" in done.output


@pytest.mark.slow
def test_a_tiny_model_is_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole command, except for the roofline, which takes long to measure.

    No machine reaches the roofline that stands here, so each layer loses time against it, however fast it is.
    """

    def measure(threads: int) -> Roofline:
        return Roofline(threads, 1e15, ((1 << 30, 1e15),))

    monkeypatch.setattr("tvmopt.benchmarks.profiling.profile_model.measure_roofline", measure)
    model = tiny.save_two_convolutions(tmp_path)
    bench = LayerBench((str(model),), (1,), tmp_path / "logs", seconds=0.2)
    (profiled,) = profile_networks(bench, Listener())
    text = losses_of(profiled)
    assert text.startswith("two, batch 1, 1 thread\n")
    assert "PyTorch: not applicable" in text
    assert "→ 1×16×14×14" in text
    assert profiled["profiles"]["tvmopt"]["kernels"]
