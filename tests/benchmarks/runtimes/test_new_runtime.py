"""A new runtime needs only its folder and one line in the registry; its `Runtime` provides everything else."""

from __future__ import annotations

import importlib
import json
import os
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests import tiny
from tests.benchmarks.suite.suite_runs import with_medians
from tests.conftest import RunTvmopt
from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.machine.environment import OWN_PACKAGES
from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.files import from_document
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.profiling.profile_model import ProfileOptions, profile_model
from tvmopt.benchmarks.runtimes import registry
from tvmopt.benchmarks.suite import networks
from tvmopt.benchmarks.suite.network_table import summarize_comparison
from tvmopt.cli import main

QUICK = MeasureOptions(rounds=5, turn_s=0.005, warmup_s=0.01, profile_s=0.1)
PACKAGE = "rich"
"""A distribution that is there and that no other runtime needs."""

FOLDER = f'''
from tvmopt.benchmarks.runtimes.base import Runtime
from tvmopt.benchmarks.runtimes.onnxruntime.runner import RunOnnxruntime

RUNTIME = Runtime(
    name="parrot",
    title="Parrot",
    variant="FP32",
    about="ONNX Runtime under another name.",
    packages=("{PACKAGE}",),
    modules=("onnxruntime",),
    by_hand="teach it to talk",
    runner=RunOnnxruntime,
    profiler="tvmopt.benchmarks.runtimes.onnxruntime.profiler:profile_onnxruntime",
    peer=True,
)
'''
LINE = "from tvmopt.benchmarks.runtimes import registry\nregistry.RUNTIMES = (parrot.RUNTIME, *registry.RUNTIMES)\n"


@pytest.fixture(autouse=True)
def _parrot(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runtime, registered in this process and in every process that it starts."""
    folder = tmp_path_factory.mktemp("parrot")
    (folder / "parrot.py").write_text(FOLDER)
    (folder / "sitecustomize.py").write_text(f"import parrot\n{LINE}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", "")))))
    monkeypatch.syspath_prepend(folder)
    runtime = importlib.import_module("parrot").RUNTIME
    assert PACKAGE not in (*OWN_PACKAGES, *registry.recorded_packages())
    monkeypatch.setattr(registry, "RUNTIMES", (runtime, *registry.RUNTIMES))


def test_it_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runtimes"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("parrot "))
    assert line.split() == ["parrot", PACKAGE, metadata.version(PACKAGE)]


def test_it_is_the_suites_peer(comparison: Comparison) -> None:
    (line,) = summarize_comparison(with_medians(comparison, onnxruntime=2.0, parrot=1.5, tvmopt=1.0))
    assert (line.peer, line.peer_s, line.speed) == ("parrot", 1.5, pytest.approx(1.5))


def test_the_suite_measures_it_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, ...]] = []

    def compare(options: CompareOptions, *_: object) -> dict[str, object]:
        asked.append(options.runtimes)
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "run_comparison", compare)
    CliRunner().invoke(networks.main, ["--network", "fc_dnn", "--threads", "1", "--results", str(tmp_path)])
    assert asked == [("parrot", *(name for name in registry.peers() if name != "parrot"), "tvmopt-untuned", "tvmopt")]


@pytest.mark.slow
def test_it_is_compared_and_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    roofline = Roofline(1, 1e11, ((1 << 15, 1e11), (1 << 30, 1e10)))
    for module in ("comparison.compare", "profiling.profile_model"):
        monkeypatch.setattr(f"tvmopt.benchmarks.{module}.measure_roofline", lambda threads: roofline)
    model = str(tiny.save_two_convolutions(tmp_path))
    options = CompareOptions(model, ("onnxruntime", "parrot"), layers=True, measure=QUICK)
    comparison = from_document(run_comparison(options))
    assert [(row.runtime, row.status) for row in comparison.measurements] == [("parrot", "ok"), ("onnxruntime", "ok")]
    assert comparison.environment["packages"][PACKAGE] == metadata.version(PACKAGE)
    (table,) = comparison.layers
    assert set(table.profiles) == {"parrot", "onnxruntime"}
    profiled = LayerTable.from_json(profile_model(ProfileOptions(model, ("parrot",), threads=1, seconds=0.1)))
    assert set(profiled.profiles) == {"parrot"}


@pytest.mark.slow
def test_the_command_line_compares_it(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    model = tiny.save_two_convolutions(tmp_path)
    options = ("--runtimes", "parrot", "--rounds", "5", "--threads", "1", "--json", "out.json", "--md", "out.md")
    done = run_tvmopt("compare", model.name, *options)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads((tmp_path / "out.json").read_text())["measurements"]
    assert (row["runtime"], row["status"]) == ("parrot", "ok")
    report = (tmp_path / "out.md").read_text()
    assert "Parrot" in report
    assert f"{PACKAGE} {metadata.version(PACKAGE)}" in report
