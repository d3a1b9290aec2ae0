"""Comparisons that profile layer by layer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from tests.benchmarks.layered import ROOFLINE
from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.files import from_document
from tvmopt.benchmarks.measurements.layer_table import NoProfile
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.profiling.profile_runtimes import Profiling, profile_layers
from tvmopt.benchmarks.runtimes.registry import find_runtime
from tvmopt.benchmarks.workers.prepared_model import make_subject
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan

QUICK = MeasureOptions(rounds=5, turn_s=0.005, warmup_s=0.01, profile_s=0.1)


@pytest.fixture(autouse=True)
def _known_roofline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose roofline is already known."""

    def measure(threads: int) -> Roofline:
        return Roofline(threads, ROOFLINE.peak_flops, ROOFLINE.bandwidth)

    monkeypatch.setattr("tvmopt.benchmarks.comparison.compare.measure_roofline", measure)


class Recorder(Listener):
    """Records the events it receives; presses Ctrl-C when a step's text contains `stop_at`."""

    def __init__(self, stop_at: str = "never") -> None:
        self.stop_at = stop_at
        self.steps: list[str] = []
        self.expected = 0

    def tell(self, event: Event) -> None:
        if isinstance(event, StepBegan):
            self.steps.append(event.text)
            assert event.of is not None
            self.expected = event.of
            if self.stop_at in event.text:
                raise KeyboardInterrupt


def compare(model: Path, *runtimes: str, listener: Listener | None = None, layers: bool = True) -> Comparison:
    options = CompareOptions(str(model), runtimes, measure=QUICK, layers=layers)
    return from_document(run_comparison(options, listener))


def test_every_measured_runtime_is_profiled(onnx_file: Path) -> None:
    listener = Recorder()
    comparison = compare(onnx_file, "pytorch", "onnxruntime", "openvino", listener=listener)
    (table,) = comparison.layers
    assert (table.batch, table.threads, table.roofline) == (1, 1, Roofline(1, 100e9, ROOFLINE.bandwidth))
    assert list(table.entries) == ["onnxruntime", "openvino"]  # PyTorch does not take an ONNX file
    assert [table.costs[layer].operator for layer in table.order] == (
        ["Conv", "Relu", "GlobalAveragePool", "Flatten", "MatMul"]
    )
    for name, profile in table.profiles.items():
        known = {layer for kernel in profile.kernels for layer in kernel.layers}
        assert known <= set(table.order), name
        assert table.order[0] in known, name
        assert profile.whole_s > 0
    assert set(table.profiles) == {"onnxruntime", "openvino"}, table.absent
    assert comparison.complete
    assert [step for step in listener.steps if "layer by layer" in step] == [
        "tiny, batch 1, 1 thread: ONNX Runtime, layer by layer",
        "tiny, batch 1, 1 thread: OpenVINO, layer by layer",
    ]
    assert len(listener.steps) == listener.expected - 1


@pytest.mark.slow
def test_ours_against_its_peers(factory: str) -> None:
    runtimes = ("pytorch", "onnxruntime", "tvmopt-untuned")
    (table,) = compare(Path(factory), *runtimes).layers
    assert list(table.profiles) == list(runtimes), table.absent
    assert all(kernel.detail for kernel in table.profiles["tvmopt-untuned"].kernels)


def test_a_runtime_that_cannot_be_profiled_is_an_entry(tmp_path: Path) -> None:
    model = tiny.load()
    subject = make_subject(model, 1, tmp_path, CompareOptions("two.onnx"), calibrate=False)
    runtime = find_runtime("pytorch-compile")
    table = profile_layers(Profiling(subject, (runtime,), (0,), (), ROOFLINE, QUICK), lambda runtime: None)
    entry = table.absent["pytorch-compile"]
    assert entry.status == "unavailable"
    assert "profile pytorch instead" in entry.message


def test_nothing_is_profiled_unless_asked_for(onnx_file: Path) -> None:
    assert compare(onnx_file, "onnxruntime", layers=False).layers == ()


@pytest.mark.slow
def test_a_profile_that_fails_is_an_entry(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    # The worker loads the model for the reference, then for the measurement, then for the profile.
    path = tmp_path / "thrice.py"
    path.write_text(
        "import pathlib, sys, torch\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    if 'worker' in sys.argv[0]:\n"
        f"        count = pathlib.Path({str(tmp_path / 'count')!r})\n"
        "        count.write_text(count.read_text() + 'x' if count.exists() else 'x')\n"
        "        if len(count.read_text()) > 2:\n"
        "            raise RuntimeError('no luck')\n"
        "    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten()), (torch.zeros(1, 3, 16, 16),)\n"
    )
    comparison = compare(Path(f"{path}:build"), "pytorch", "onnxruntime")
    (table,) = comparison.layers
    assert {row.status for row in comparison.measurements} == {"ok"}
    assert isinstance(table.entries["pytorch"], NoProfile)
    assert table.entries["pytorch"].status == "failed"
    assert "no luck" in table.entries["pytorch"].message
    assert "onnxruntime" in table.profiles


def test_ctrl_c_while_profiling_keeps_the_rounds(onnx_file: Path) -> None:
    comparison = compare(onnx_file, "onnxruntime", listener=Recorder("ONNX Runtime, layer by layer"))
    assert not comparison.complete
    assert comparison.layers == ()
    (row,) = comparison.measurements
    assert row.status == "ok"
