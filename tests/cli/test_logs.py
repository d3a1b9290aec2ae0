"""``tvmopt logs``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from tests.conftest import RunTvmopt
from tests.workloads.attentions import attention
from tvmopt.cli.logs import shapes
from tvmopt.pipeline.records.record import Record, target_facts
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.schedules.host import host_cpu
from tvmopt.schedules.registry import template_for
from tvmopt.schedules.target import Target, parse_target
from tvmopt.schedules.workload import Tensor, Workload

TARGET = parse_target("x86-64-v3", threads=2)


def pool(side: int = 14) -> Workload:
    attrs = {"count_pads": 0, "kernel": (2, 2), "kind": "max", "pads": (0, 0, 0, 0), "strides": (2, 2)}
    data, output = Tensor((1, 16, side, side), block=8), Tensor((1, 16, side // 2, side // 2), block=8)
    return Workload("pool2d", (data,), output, tuple(sorted(attrs.items())))


def record(
    median_s: float = 1.5e-3, workload: Workload | None = None, target: Target = TARGET, **changes: Any
) -> Record:
    workload = workload or pool()
    values: dict[str, Any] = {
        "template": "pool2d",
        "template_version": 1,
        "config": {"columns": 2},
        "status": "ok",
        "latency_s": (median_s,),
        "error": "",
        "time": "2026-01-02T03:04:05+00:00",
        "tvm_version": "0.27.0",
        "cpu": "a processor",
    }
    return Record(workload=workload, target_key=target.key, target=target_facts(target), **{**values, **changes})


def write(folder: Path, *records: Record, name: str = "model") -> Path:
    store = RecordStore(folder, name)
    for item in records:
        store.append(item)
    return store.log(records[0].target_key)


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()[1:]]


@pytest.fixture(name="logs")
def _logs(tmp_path: Path) -> Path:
    logs = tmp_path / "logs"
    slow = record(2e-3, config={"columns": 4})
    write(logs, slow, record(), record(status="wrong", latency_s=(), error="differs"))
    write(logs, record(workload=pool(28)), name="other")
    write(logs, record(target=parse_target("aarch64")))
    return logs


def test_show(run_tvmopt: RunTvmopt, logs: Path) -> None:
    done = run_tvmopt("logs", "show", "--logs", logs)
    assert done.returncode == 0, done.stderr
    table = rows(done.stdout)
    assert [(row[0], row[1]) for row in table] == [
        ("aarch64-neon-4t", "model"),
        ("x86_64-avx2-2t", "model"),
        ("x86_64-avx2-2t", "other"),
    ]
    assert table[1][2] == pool().key
    assert table[1][-4:] == ["3", "1", "1.5", "2026-01-02"]
    assert "1×16×14×14 → 1×16×7×7" in done.stdout


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--target", "x86_64-*"), 2),
        (("--target", "aarch64-neon-4t"), 1),
        (("--model", "oth*"), 1),
        (("--op", "pool2d"), 3),
    ],
)
def test_filters(run_tvmopt: RunTvmopt, logs: Path, options: tuple[str, ...], count: int) -> None:
    for name in ("show", "best"):
        done = run_tvmopt("logs", name, "--logs", logs, *options)
        assert done.returncode == 0, done.stderr
        assert len(rows(done.stdout)) == count


def test_best(run_tvmopt: RunTvmopt, logs: Path) -> None:
    done = run_tvmopt("logs", "best", "--logs", logs, "--model", "model", "--target", "x86*")
    assert done.returncode == 0, done.stderr
    ((target, key, *rest),) = rows(done.stdout)
    assert (target, key) == ("x86_64-avx2-2t", pool().key)
    assert rest[-4:] == ["1.5", "columns=2", "a", "processor"]


def test_nothing_matches(run_tvmopt: RunTvmopt, logs: Path) -> None:
    done = run_tvmopt("logs", "show", "--logs", logs, "--op", "conv3d")
    assert (done.returncode, done.stdout) == (0, "no records\n")


def test_merge_then_prune(run_tvmopt: RunTvmopt, logs: Path, tmp_path: Path) -> None:
    extra = write(tmp_path / "extra", record(0.5e-3, config={"columns": 7}))
    done = run_tvmopt("logs", "merge", logs, extra, "-o", tmp_path / "all")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("6 records read, 6 of them new, added to 3 logs in ")
    again = run_tvmopt("logs", "merge", extra, "-o", tmp_path / "all")
    assert again.stdout.startswith("1 records read, 0 of them new")
    done = run_tvmopt("logs", "prune", tmp_path / "all", "--keep", "1")
    assert (done.returncode, done.stdout) == (0, "3 records kept, 3 dropped\n")
    best = RecordStore(tmp_path / "all").best(pool().key, TARGET.key, "pool2d", 1)
    assert best is not None
    assert best.median_s == 0.5e-3


def test_a_corrupt_line_is_named_and_the_named_remedy_works(run_tvmopt: RunTvmopt, logs: Path) -> None:
    log = logs / TARGET.key / "model.jsonl"
    log.write_text("garbage\n" + log.read_text())
    before = log.read_bytes()
    done = run_tvmopt("logs", "show", "--logs", logs)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"tvmopt: error: {log}:1: not a record (")
    assert done.stderr.count("\n") == 1
    assert log.read_bytes() == before
    remedy = done.stderr.partition("with: tvmopt ")[2].split()
    done = run_tvmopt(*remedy)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["3 records kept, 0 dropped", f"1 corrupt line moved to {log}.corrupt"]
    assert run_tvmopt("logs", "show", "--logs", logs).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("show", "--logs", "nothing"), 3, "nothing: no such folder"),
        (("best", "--logs", "nothing"), 3, "nothing: no such folder"),
        (("show", "--logs", "a_file"), 2, "'a_file' is a file"),
        (("merge", "nothing", "-o", "out"), 3, "nothing: no such file or folder"),
        (("merge", "a_folder", "-o", "out"), 3, "a_folder: has no logs"),
        (("merge", "newer", "-o", "out"), 3, "record of format 2, this tvmopt reads format 1"),
        (("merge", "-o", "out"), 2, "SRC"),
        (("merge", "a_file"), 2, "-o"),
        (("prune", "nothing"), 3, "nothing: no such folder"),
        (("prune", "a_folder", "--keep", "0"), 2, "--keep"),
        (("prune", "newer"), 3, "record of format 2, this tvmopt reads format 1"),
        (("explain", "nothing.jsonl"), 3, "nothing.jsonl: cannot be read"),
        (("explain", "nothing.json"), 3, "nothing.json: cannot be read"),
        (("explain", "a_workload.json"), 3, "a_workload.json: not a workload"),
        (("explain", "nothing.onnx"), 3, "nothing.onnx"),
        (("explain", "x.jsonl", "--target", "armv8"), 2, "unknown target 'armv8'; did you mean"),
        (("polish",), 2, "polish"),
    ],
)
def test_wrong_use_ends_in_one_line(
    run_tvmopt: RunTvmopt, tmp_path: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    (tmp_path / "a_file").write_text("")
    (tmp_path / "a_folder").mkdir()
    (tmp_path / "a_workload.json").write_text('{"op": "conv2d"}')
    newer = tmp_path / "newer" / "target" / "model.jsonl"
    newer.parent.mkdir(parents=True)
    newer.write_text(json.dumps({"format": 2}) + "\n")
    done = run_tvmopt("logs", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_help_names_every_command_and_its_options(run_tvmopt: RunTvmopt) -> None:
    done = run_tvmopt("logs", "--help")
    assert done.returncode == 0
    for name in ("show", "best", "merge", "prune", "explain"):
        assert any(line.split()[:1] == [name] and len(line.split()) > 3 for line in done.stdout.splitlines())
        assert run_tvmopt("logs", name, "--help").returncode == 0


@pytest.mark.slow
def test_explain_the_workloads_of_a_log(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    template = template_for(pool(), TARGET)
    changes = {"template": template.name, "template_version": template.version, "cpu": host_cpu()}
    config = dict(template.default(pool(), TARGET))
    log = write(
        tmp_path / "logs", record(config=config, **changes), record(workload=pool(28), target=parse_target("aarch64"))
    )
    options = ("--target", "x86-64-v3", "--threads", "2", "--logs", tmp_path / "logs")
    done = run_tvmopt("logs", "explain", log, *options)
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith(pool().key))
    assert "applies, 1.5 ms with" in row
    other = tmp_path / "workload.json"
    other.write_text(json.dumps(pool(28).to_json()))
    done = run_tvmopt("logs", "explain", other, *options)
    assert done.returncode == 0, done.stderr
    assert "another target: architecture aarch64, here x86_64; instruction set neon, here avx2" in done.stdout
    assert done.stdout.endswith("0 of 1 tasks have a record that applies on x86_64-avx2-2t; the rest use the default\n")


@pytest.mark.slow
def test_explain_a_model(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    weights = numpy_helper.from_array(np.ones((16, 3, 3, 3), np.float32), "weights")
    conv = helper.make_node("Conv", ["x", "weights"], ["y"], "the_convolution", pads=[1, 1, 1, 1])
    shapes = [helper.make_tensor_value_info(name, 1, (1, c, 8, 8)) for name, c in (("x", 3), ("y", 16))]
    graph = helper.make_graph([conv], "small", shapes[:1], shapes[1:], [weights])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "small.onnx")
    done = run_tvmopt("logs", "explain", "small.onnx", "--logs", tmp_path / "none", "--target", "x86-64-v3")
    assert done.returncode == 0, done.stderr
    (row,) = (line for line in done.stdout.splitlines() if line.startswith("conv2d-"))
    assert "the_convolution" in row
    assert "no record of this workload" in row


def test_shapes_are_those_of_the_operator() -> None:
    dense = Workload("dense", (Tensor((3, 5)), Tensor((5, 7)), Tensor((1, 7))), Tensor((3, 7)))
    assert shapes(dense) == "3×5, 5×7 → 3×7"
    assert shapes(attention(3, 40, 70, 16, 24)) == "3×40×16, 3×70×16 → 3×40×24"
