"""Whole comparisons of small networks with the real peers."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import psutil
import pytest

from tvmopt.benchmarks.comparison.cell import RowMeasured
from tvmopt.benchmarks.comparison.compare import run_comparison
from tvmopt.benchmarks.measurements.files import from_document, read_comparisons, to_document, write_document
from tvmopt.benchmarks.measurements.options import CompareOptions, MeasureOptions
from tvmopt.benchmarks.measurements.types import Comparison, Measurement
from tvmopt.jobs.comparing import CompareJob
from tvmopt.jobs.comparing import compare as jobs_compare
from tvmopt.pipeline.errors import CancelledError, InputFileError, UsageError
from tvmopt.pipeline.support.progress import Event, Listener, StepBegan

pytestmark = pytest.mark.slow  # a process or two for each test

QUICK = MeasureOptions(rounds=5, turn_s=0.005, warmup_s=0.01, calibration_samples=8)
PEERS = ("pytorch", "onnxruntime", "openvino")

two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


class Recorder(Listener):
    """Records the events it receives; presses Ctrl-C when a step's text contains `stop_at`."""

    def __init__(self, stop_at: str = "never") -> None:
        self.stop_at = stop_at
        self.steps: list[str] = []
        self.expected = set[int | None]()
        self.rows: list[Measurement] = []

    def tell(self, event: Event) -> None:
        if isinstance(event, RowMeasured):
            self.rows.append(event.row)
        if isinstance(event, StepBegan):
            self.steps.append(event.text)
            self.expected.add(event.of)
            assert event.number == len(self.steps)
            if self.stop_at in event.text:
                self.stop()

    def stop(self) -> None:
        raise KeyboardInterrupt


def compare(model: str | Path, *runtimes: str, listener: Listener | None = None, **options: Any) -> Comparison:
    settings = CompareOptions(str(model), runtimes, **{"measure": QUICK, **options})
    return from_document(run_comparison(settings, listener))


def by_name(comparison: Comparison) -> dict[str, Measurement]:
    return {row.runtime: row for row in comparison.measurements}


def test_onnx_file(onnx_file: Path) -> None:
    listener = Recorder()
    comparison = compare(onnx_file, *PEERS, "pytorch-compile", listener=listener)
    rows = by_name(comparison)
    assert list(rows) == ["pytorch", "pytorch-compile", "onnxruntime", "openvino"]
    for name in ("pytorch", "pytorch-compile"):
        assert rows[name].status == "not_applicable"
        assert rows[name].message == "not applicable: the model is an ONNX file"
    for name in ("onnxruntime", "openvino"):
        row = rows[name]
        assert row.status == "ok", row.message
        assert row.latency_s is not None
        assert len(row.latency_s.turns) == 5
        assert row.latency_s.interval[0] <= row.latency_s.median <= row.latency_s.interval[1]
        assert row.output_error is not None
        assert row.output_error.relative < 1e-5
        assert row.peak_memory_bytes is not None
        assert row.peak_memory_bytes > 10 * 2**20
        assert row.settings
    assert comparison.model["reference"] == "onnxruntime"
    assert [(v.runtime, v.against) for v in comparison.verdicts] == [("openvino", "onnxruntime")]
    assert comparison.complete
    assert {len(listener.steps)} == listener.expected
    assert listener.rows == list(comparison.measurements)


@pytest.mark.slow
def test_pytorch_factory(factory: str) -> None:
    comparison = compare(factory, *PEERS)
    rows = by_name(comparison)
    assert {row.status for row in rows.values()} == {"ok"}, {row.message for row in rows.values()}
    assert comparison.model["reference"] == "pytorch"
    for row in rows.values():
        assert row.output_error is not None
        assert row.output_error.relative < 1e-4
    assert {v.against for v in comparison.verdicts} == {"pytorch"}
    assert comparison.model["spec"] == "tiny.py:build"  # no folders of this machine
    assert "sample photographs" in comparison.model["input_data"]


@pytest.mark.slow
def test_exported_program(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten()).eval()
    torch.export.save(torch.export.export(module, (torch.zeros(1, 3, 16, 16),)), tmp_path / "tiny.pt2")
    comparison = compare(tmp_path / "tiny.pt2", "pytorch", "onnxruntime")
    assert comparison.model["reference"] == "pytorch", comparison.model["reference_note"]
    for row in comparison.measurements:
        assert row.status == "ok", row.message
        assert row.output_error is not None
        assert row.output_error.relative < 1e-4


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Gather", ["table", "indices"], ["rows"]),
            onnx.helper.make_node("Add", ["rows", "offset"], ["sums"]),
            onnx.helper.make_node("ArgMax", ["sums"], ["best"], axis=1),
        ],
        "several",
        [
            onnx.helper.make_tensor_value_info("indices", onnx.TensorProto.INT64, (1,)),
            onnx.helper.make_tensor_value_info("offset", onnx.TensorProto.FLOAT, (1, 4)),
        ],
        [
            onnx.helper.make_tensor_value_info("best", onnx.TensorProto.INT64, (1, 1)),
            onnx.helper.make_tensor_value_info("sums", onnx.TensorProto.FLOAT, (1, 4)),
        ],
        [onnx.numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "table")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "several.onnx")
    comparison = compare(tmp_path / "several.onnx", "onnxruntime", "openvino")
    assert {row.status for row in comparison.measurements} == {"ok"}
    assert comparison.model["input_data"] == "random numbers"


@two_cores
def test_every_batch_with_every_thread_count(onnx_file: Path) -> None:
    comparison = compare(onnx_file, "onnxruntime", "openvino", batches=(1, 3), threads=(1, 2))
    assert comparison.cells() == [(1, 1), (1, 2), (3, 1), (3, 2)]
    for batch, threads in comparison.cells():
        for row in comparison.rows(batch, threads):
            assert row.status == "ok", row.message
            assert row.latency_s is not None
            assert row.fps == pytest.approx(batch / row.latency_s.median)
        assert comparison.verdict("openvino", "onnxruntime", (batch, threads)) is not None


@pytest.mark.slow
def test_int8(onnx_file: Path) -> None:
    pytest.importorskip("nncf")
    comparison = compare(onnx_file, "onnxruntime-int8", "openvino-int8")
    for row in comparison.measurements:
        assert row.status == "ok", row.message
        assert row.prepare_s is not None
        assert row.output_error is not None
        # The largest error of any element is about twice the ratio of norms; the cosine bounds the ratio by 0.1.
        assert 1e-5 < row.output_error.relative < 0.2
        assert row.output_error.cosine > 0.995
        assert "bits used" in row.settings["weights"]
    assert comparison.model["calibration"].startswith("8 samples: random crops of scikit-learn's")


@pytest.mark.slow
def test_torch_compile(factory: str) -> None:
    (row,) = compare(factory, "pytorch-compile").measurements
    assert row.status == "ok", row.message
    assert row.first_run_s is not None
    assert row.latency_s is not None
    assert row.first_run_s > 10 * row.latency_s.median  # compiling is part of it
    assert row.output_error is not None
    assert row.output_error.relative < 1e-4


@pytest.mark.slow
def test_tvmopt(onnx_file: Path, tmp_path: Path) -> None:
    rows = by_name(compare(onnx_file, "tvmopt", "tvmopt-untuned", "onnxruntime", logs=(tmp_path / "none",)))
    assert rows["tvmopt-untuned"].status == "ok", rows["tvmopt-untuned"].message
    assert rows["tvmopt-untuned"].prepare_s is not None
    error = rows["tvmopt-untuned"].output_error
    assert error is not None
    assert error.relative < 1e-4
    assert rows["tvmopt"].status == "unavailable"
    assert rows["tvmopt"].message == "no records: run tvmopt tune or pass --tune-trials"


def test_ctrl_c_keeps_complete_rounds_and_cells(onnx_file: Path) -> None:
    options = MeasureOptions(rounds=50, turn_s=0.002, warmup_s=0.01)
    comparison = compare(onnx_file, "onnxruntime", "openvino", listener=Recorder("round 8 of"), measure=options)
    assert not comparison.complete
    for row in comparison.measurements:
        assert row.latency_s is not None
        assert len(row.latency_s.turns) == 7


@two_cores
def test_ctrl_c_keeps_earlier_cells(onnx_file: Path) -> None:
    comparison = compare(onnx_file, "onnxruntime", threads=(1, 2), listener=Recorder("2 threads: round 3"))
    assert not comparison.complete
    assert comparison.cells() == [(1, 1)]


@pytest.mark.parametrize("moment", ["importing", "getting ready", "round 3 of"])
def test_ctrl_c_before_anything_is_complete(moment: str, onnx_file: Path) -> None:
    with pytest.raises(CancelledError):
        compare(onnx_file, "onnxruntime", listener=Recorder(moment))


class CancelledElsewhere(Recorder):
    """Lets another thread cancel the comparison, and records the processes that are running then."""

    workers: tuple[psutil.Process, ...] = ()

    def stop(self) -> None:
        self.workers = tuple(psutil.Process().children(recursive=True))
        other = threading.Thread(target=self.cancel)
        other.start()
        other.join()


def test_a_listener_cancels_between_rounds(onnx_file: Path, tmp_path: Path) -> None:
    options = MeasureOptions(rounds=50, turn_s=0.002, warmup_s=0.01)
    listener = CancelledElsewhere("round 8 of")
    comparison = compare(onnx_file, "onnxruntime", "openvino", listener=listener, measure=options)
    assert not comparison.complete
    for row in comparison.measurements:
        assert row.latency_s is not None
        assert len(row.latency_s.turns) == 7
    assert len(listener.workers) == 2
    assert not any(worker.is_running() for worker in listener.workers)
    write_document(to_document(comparison), tmp_path / "out.json")
    assert read_comparisons(tmp_path / "out.json") == (comparison,)


@pytest.mark.parametrize("moment", ["importing", "getting ready", "round 3 of"])
def test_a_listener_cancels_before_anything_is_complete(moment: str, onnx_file: Path) -> None:
    listener = CancelledElsewhere(moment)
    with pytest.raises(CancelledError):
        compare(onnx_file, "onnxruntime", listener=listener)
    assert not any(worker.is_running() for worker in listener.workers)
    assert not any(worker.is_running() for worker in psutil.Process().children(recursive=True))


IN_WORKER = """
import os, sys, time, torch

def build():
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())
    if "worker" in sys.argv[0]:
        {trouble}
    return module, (torch.zeros(1, 3, 16, 16),)
"""


def misbehaving(folder: Path, trouble: str) -> str:
    path = folder / "misbehaving.py"
    path.write_text(IN_WORKER.replace("{trouble}", trouble))
    return f"{path}:build"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trouble", "limit_s", "message"),
    [
        # Importing PyTorch alone may take seconds.
        ("os.kill(os.getpid(), 11)", 100.0, "crashed with SIGSEGV during load"),
        ("time.sleep(1000)", 3.0, "hung: no answer to load in 3 s"),
        ("raise RuntimeError('no luck')", 100.0, "load failed: .*no luck"),
    ],
)
def test_a_worker_that_fails_is_a_row(trouble: str, limit_s: float, message: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    options = MeasureOptions(rounds=5, turn_s=0.005, warmup_s=0.01, ready_timeout_s=limit_s)
    comparison = compare(misbehaving(tmp_path, trouble), "pytorch", "onnxruntime", measure=options)
    rows = by_name(comparison)
    assert rows["pytorch"].status == "failed"
    assert re.search(message, rows["pytorch"].message)
    assert rows["onnxruntime"].status == "ok", rows["onnxruntime"].message
    assert comparison.model["reference"] == "onnxruntime"
    assert "PyTorch could not serve as the reference" in comparison.model["reference_note"]


def test_a_crash_in_the_middle_of_the_rounds(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    trouble = "calls = iter([None] * 40); module.register_forward_hook(lambda *_: next(calls, 1) and os.abort())"
    rows = by_name(compare(misbehaving(tmp_path, trouble), "pytorch", "onnxruntime"))
    assert rows["pytorch"].status == "failed"
    assert rows["pytorch"].message.startswith("crashed with SIGABRT during ")
    assert rows["onnxruntime"].status == "ok", rows["onnxruntime"].message


def test_a_factory_that_gives_another_network_each_time(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (row,) = compare(
        misbehaving(tmp_path, "torch.manual_seed(os.getpid()); module[0].reset_parameters()"), "pytorch"
    ).measurements
    assert row.status == "wrong"
    assert "seed its weights" in row.message


def test_the_users_own_pictures(onnx_file: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 30), "blue").save(tmp_path / "blue.png")
    comparison = compare(onnx_file, "onnxruntime", data=tmp_path)
    assert comparison.model["input_data"] == "random crops of 1 pictures of the folder given with --data"


def test_refused_before_any_work(onnx_file: Path, tmp_path: Path) -> None:
    listener = Recorder()
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(UsageError, match=f"threads must be at most {cores}"):
        compare(onnx_file, "onnxruntime", threads=(cores + 1,), listener=listener)
    with pytest.raises(UsageError, match="unknown runtime 'onnxruntim'"):
        compare(onnx_file, "onnxruntim", listener=listener)
    with pytest.raises(InputFileError, match="not a folder"):
        compare(onnx_file, "onnxruntime", data=tmp_path / "none", listener=listener)
    (tmp_path / "x86_64").mkdir()
    (tmp_path / "x86_64" / "log.jsonl").write_text("not json\n{}\n")
    with pytest.raises(InputFileError, match="log.jsonl:1"):
        compare(onnx_file, "tvmopt", logs=(tmp_path,), listener=listener)
    assert listener.steps == []


@pytest.mark.parametrize("options", [{"batches": (0,)}, {"threads": ()}, {"threads": (0,)}])
def test_invalid_options(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="at least 1"):
        CompareOptions("model.onnx", **options)


@pytest.mark.parametrize(("iterations", "rounds"), [(1000, 20), (47, 20), (20, 20), (7, 5)])
def test_iterations_spread_over_the_rounds(iterations: int, rounds: int) -> None:
    options = MeasureOptions(method="dli", iterations=iterations, rounds=rounds)
    turns = [options.iterations_in(turn) for turn in range(rounds)]
    assert sum(turns) == iterations
    assert max(turns) - min(turns) <= 1
    assert min(turns) >= 1


def test_too_few_iterations() -> None:
    with pytest.raises(UsageError, match="iterations must be at least one for each of 20 rounds, got 19"):
        MeasureOptions(method="dli", iterations=19)
    with pytest.raises(UsageError, match="iterations must be at least one for each of 5 rounds, got 3"):
        jobs_compare(CompareJob("model.onnx", method="dli", iterations=3))


def test_an_unknown_method() -> None:
    method: Any = "mean"
    with pytest.raises(UsageError, match="the method must be one of turns, dli, got 'mean'"):
        MeasureOptions(method=method)


def test_too_few_rounds() -> None:
    with pytest.raises(UsageError, match="rounds must be at least 5"):
        MeasureOptions(rounds=4)
