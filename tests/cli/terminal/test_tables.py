"""Tables at every width: no text is cut, no line is too wide, and the most important columns are always shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest
from rich.cells import cell_len

from tests import tiny
from tests.conftest import RunTvmopt
from tvmopt.cli.tables import Column, Table, broken
from tvmopt.cli.views.tuning import summary_lines, task_table
from tvmopt.pipeline.tuning.progress import PeakMeasured, TaskState
from tvmopt.pipeline.tuning.search import TuneSummary
from tvmopt.schedules.target import parse_target

WIDTHS = (80, 100, 120, 160)
LONG = "features.denseblock4.denselayer16.expand3x3/Kernel_of_the_second_branch"

every_width = pytest.mark.parametrize("width", WIDTHS)


def texts(table: Table, width: int) -> list[str]:
    return [line for line, _ in table.lines(width)]


def make_table() -> Table:
    table = Table(
        Column("kernel"),
        Column("layer", least=10),
        Column("best GFLOP/s", number=True),
        Column("of peak", number=True, rank=1),
        Column("config", below=True),
    )
    table.add("conv2d-0123", "features/conv one", "12.5", "50%", "rows 1 columns 14 vectors 2")
    table.add("pool2d-4567", "pool", "3", "", "")
    return table


def test_all_on_one_line_where_there_is_room() -> None:
    assert texts(make_table(), 90) == [
        "kernel       layer              best GFLOP/s  of peak  config",
        "conv2d-0123  features/conv one          12.5      50%  rows 1 columns 14 vectors 2",
        "pool2d-4567  pool                          3",
    ]


def test_details_move_below_their_row_first() -> None:
    assert texts(make_table(), 60) == [
        "kernel       layer              best GFLOP/s  of peak",
        "conv2d-0123  features/conv one          12.5      50%",
        "    config: rows 1 columns 14 vectors 2",
        "pool2d-4567  pool                          3",
    ]


def test_then_texts_and_heads_break_and_then_a_column_is_left_out() -> None:
    assert texts(make_table(), 50) == [
        "                                   best",
        "kernel       layer              GFLOP/s  of peak",
        "conv2d-0123  features/conv one     12.5      50%",
        "    config: rows 1 columns 14 vectors 2",
        "pool2d-4567  pool                     3",
    ]
    assert texts(make_table(), 40) == [
        "                           best    of",
        "kernel       layer      GFLOP/s  peak",
        "conv2d-0123  features/     12.5   50%",
        "             conv one",
        "    config: rows 1 columns 14 vectors 2",
        "pool2d-4567  pool             3",
    ]
    assert texts(make_table(), 34) == [
        "                           best",
        "kernel       layer      GFLOP/s",
        "conv2d-0123  features/     12.5",
        "             conv one",
        "    config: rows 1 columns 14",
        "    vectors 2",
        "pool2d-4567  pool             3",
        "(left out here: of peak; a wider",
        "terminal shows all, and so does a",
        "pipe)",
    ]


@pytest.mark.parametrize("width", range(12, 100))
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(width: int) -> None:
    lines = texts(make_table(), width)
    assert max(map(cell_len, lines)) <= max(width, 3 * 4 + 2 * 2)
    told = "".join("".join(lines).split())
    assert "config:rows1columns14vectors2" in told or width > 80
    if width >= 32:
        assert {"conv2d-0123", "pool2d-4567", "12.5"} <= set(" ".join(lines).split())


def test_wide_characters_count_double() -> None:
    table = Table(Column("layer", least=6), Column("µs", number=True))
    table.add("畳み込み層", "1")
    assert texts(table, 14) == ["layer       µs", "畳み込み層   1"]
    assert texts(table, 11) == ["layer   µs", "畳み込   1", "み層"]


def test_long_names_break_after_punctuation() -> None:
    assert broken("features.3.expand1x1/Conv", 21) == ["features.3.expand1x1/", "Conv"]
    assert broken("abcdefghij", 4) == ["abcd", "efgh", "ij"]


def test_control_characters_are_blanked() -> None:
    table = Table(Column("layer"))
    table.add("a\x1b[31mb\rc")
    assert texts(table, 80) == ["layer", "a [31mb c"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Two convolutions with long names, so that one is among the slowest layers."""
    path = tiny.save_two_convolutions(tmp_path)
    proto = onnx.load(path)
    proto.graph.node[0].name, proto.graph.node[1].name = LONG, f"{LONG}2"
    onnx.save(proto, path)
    return path


def check_fits(output: str, width: int, *words: str) -> None:
    """No text is cut and no line too wide, and each of `words` appears uncut."""
    assert "…" not in output
    assert [line for line in output.splitlines() if cell_len(line.rstrip()) > width] == []
    for word in words:
        assert re.search(rf"(?<!\S){re.escape(word)}(?!\S)", output), (word, output)


def name_is_whole(output: str) -> bool:
    """Whether the long name is complete, possibly over several lines."""
    pieces = re.findall(r"features\.|denseblock4\.|denselayer16\.|expand3x3/|Kernel_|of_|the_|second_|branch", output)
    return "".join(dict.fromkeys(pieces)) == LONG


@pytest.mark.slow
@every_width
def test_compile_inspect_explain(run_tvmopt: RunTvmopt, model: Path, width: int) -> None:
    target = parse_target("llvm", 2)
    tiny.store_records(model.parent / "logs", target)
    kernels = tuple(task.name for task in tiny.tasks(target))
    columns = {"COLUMNS": str(width)}
    options = ("--threads", "2")
    for command, heads in (
        (("compile", model, *options, "--logs", "logs", "-o", "out.tar"), ("runs", "from", "latency", "record")),
        (("inspect", model, *options), ("GFLOP", "FLOP/byte", "weight", "planned arena")),
        (("logs", "explain", model, *options, "--logs", "logs"), ("Task", "Layers", "Record")),
    ):
        done = run_tvmopt(*command, environment=columns)
        assert done.returncode == 0, done.stderr
        check_fits(done.stdout, width, *heads, *kernels)
        assert name_is_whole(done.stdout)


@pytest.mark.slow
@every_width
def test_tune_and_verify(run_tvmopt: RunTvmopt, model: Path, width: int) -> None:
    kernels = tuple(task.name for task in tiny.tasks(parse_target("llvm", 2)))
    columns = {"COLUMNS": str(width)}
    done = run_tvmopt("tune", model, "--threads", "2", "--trials", "2", "--logs", "logs", environment=columns)
    assert done.returncode == 0, done.stderr
    check_fits(done.stdout, width, "share", "GFLOP/s", "gain", "trials", *kernels)
    assert name_is_whole(done.stdout)
    done = run_tvmopt("verify", model, "--threads", "2", "--logs", "logs", environment=columns)
    assert done.returncode == 0, done.stderr
    check_fits(done.stdout, width, "kernel", "relative", "alone")
    assert name_is_whole(done.stdout)


@every_width
def test_logs_runtimes_targets(run_tvmopt: RunTvmopt, tmp_path: Path, width: int) -> None:
    target = parse_target("llvm", 2)
    tiny.store_records(tmp_path / "logs", target)
    kernels = tuple(task.name for task in tiny.tasks(target))
    for command, words in (
        (("logs", "show", "--logs", "logs"), ("Workload", "Trials", "Failed", "0.001", *kernels)),
        (("logs", "best", "--logs", "logs"), ("Workload", "0.001", *kernels)),
        (("runtimes",), ("onnxruntime", "openvino-int8")),
        (("targets",), ("aarch64", "L1 data cache")),
    ):
        done = run_tvmopt(*command, environment={"COLUMNS": str(width)})
        assert done.returncode == 0, done.stderr
        check_fits(done.stdout, width, *words)


@pytest.mark.slow
@every_width
def test_profile(run_tvmopt: RunTvmopt, model: Path, measured: Mapping[str, str], width: int) -> None:
    options = ("--runtimes", "tvmopt,onnxruntime,openvino", "--threads", "1", "--seconds", "0.1")
    done = run_tvmopt("profile", model, *options, environment={**measured, "COLUMNS": str(width)})
    assert done.returncode == 0, done.stderr
    check_fits(done.stdout, width, "µs", "share", "GFLOP/s", "algorithm", "best", "all layers", "tvmopt")
    assert name_is_whole(done.stdout)


@pytest.mark.slow
def test_compare_and_report(run_tvmopt: RunTvmopt, model: Path, measured: Mapping[str, str], tmp_path: Path) -> None:
    options = ("--runtimes", "onnxruntime,tvmopt-untuned", "--threads", "1", "--rounds", "5", "--layers")
    narrow = {**measured, "COLUMNS": str(WIDTHS[0])}
    compared = run_tvmopt("compare", model, *options, "--json", "out.json", environment=narrow)
    assert compared.returncode == 0, compared.stderr
    # Only layers that lose time to a peer or to the roofline are listed.
    listed = LONG in run_tvmopt("report", "out.json", environment={"COLUMNS": ""}).stdout
    for width in WIDTHS:
        done = run_tvmopt("report", "out.json", environment={"COLUMNS": str(width)})
        assert done.returncode == 0, done.stderr
        assert width != WIDTHS[0] or compared.stdout == f"{done.stdout}wrote out.json\n"
        check_fits(done.stdout, width, "runtime", "FPS", "untuned", "roofline")
        assert name_is_whole(done.stdout) == listed


def state(default_s: float, best_s: float, flops: int) -> TaskState:
    task = tiny.tasks(parse_target("llvm", 1))[0]
    return TaskState(task, "conv2d", flops, 10, 0, 4, 0, default_s, best_s, {}, "")


def test_times_and_rates_keep_two_figures() -> None:
    small = state(2.5e-7, 2e-7, 88)
    lines = summary_lines(TuneSummary((small,), "trials", 1.0), "logs")
    assert "the model's tuned kernels: 0.00025 ms with defaults, 0.0002 ms tuned (1.25×)" in lines
    (row,) = task_table((small,), PeakMeasured(1e11)).rows
    assert "0.44" in str(row)
    (row,) = task_table((state(2e-3, 1e-3, 123_456_789),), PeakMeasured(0.0)).rows
    assert "123" in str(row)


def test_several_sizes_are_named() -> None:
    lines = summary_lines(TuneSummary((state(3e-3, 2e-3, 1),), "trials", 1.0), "logs", sizes=3)
    assert "the model's tuned kernels, one run in each of 3 sizes: 3 ms with defaults, 2 ms tuned (1.50×)" in lines
