"""``tvmopt inspect``: layers, memory, coverage and tasks; gaps are shown, bad input is refused in one line."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser
from rich.console import Console

from tests import tiny
from tests.conftest import RunTvmopt
from tvmopt.cli.views.inspect import parts
from tvmopt.pipeline.importers.registry import listed_forms
from tvmopt.pipeline.inspection.inspect import inspect_model
from tvmopt.schedules.target import parse_target

pytestmark = pytest.mark.slow  # a process or two for each test

QUANTISED = """quantised (float[1,8,14,14] x) => (float[1,16,14,14] y)
    <float s = {0.1}, uint8 z = {128}> {
    q = QuantizeLinear (x, s, z)
    c = ConvInteger (q, v, z, z)
    d = Cast <to = 1> (c)
    y = Mul (d, s)
}"""
GAPS = """gaps (float[1,8,14,14] x) => (float[1,8,14,14] y) {
    a = RandomUniformLike (x)
    b = Frobnicate (a)
    y = Relu (b)
}"""
LONG = "encoder.stages.3.blocks.11.mlp.projection.with.a.long.name/Conv"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.save_two_convolutions(tmp_path)


def test_layers_memory_coverage_and_tasks(run_tvmopt: RunTvmopt, model: Path, tmp_path: Path) -> None:
    done = run_tvmopt("inspect", model, "--target", "x86-64-v3", "--threads", "2", "--json", "out.json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = done.stdout
    assert said.startswith("two for x86_64-avx2-2t\n  inputs   x 1×8×14×14 float32\n  outputs  y 1×16×14×14 float32\n")
    assert re.search(
        r"^Conv_a +Conv +1×8×14×14, 16×8×3×3 → 1×16×14×14 +FP32 +0.0005 +1,152 +22.9 +10.6 +12.2 +19.3 +conv2d",
        said,
        re.MULTILINE,
    )
    assert re.search(r"^total +1×8×14×14 → 1×16×14×14 +0.0006 +1,408 +72.9 +36.1 +36.8 +7.4", said, re.MULTILINE)
    assert "GIOP" not in said
    assert re.search(r"^  minimum +25.5 +the largest layer, weights too: Conv_y", said, re.MULTILINE)
    assert re.search(r"^  planned arena +[\d.]+ ", said, re.MULTILINE)
    assert "  importer   covers all\n  target     covers all\n  templates  3 of 3 layers\n" in said
    assert len(re.findall(r"^  conv2d-[0-9a-f]{12} +1 +FP32 +0.000\d +Conv_", said, re.MULTILINE)) == 2
    data = json.loads((tmp_path / "out.json").read_text())
    assert (data["schema"], data["version"], data["model"]) == ("tvmopt-inspection", 1, "two")
    assert [layer["layer"] for layer in data["layers"]] == ["Conv_a", "Relu_b", "Conv_y"]
    assert data["total"]["flops"] == 2 * 16 * 196 * (72 + 16) + 16 * 196
    assert data["memory"]["weights_bytes"] == 4 * 1408
    assert data["gaps"] == []


def test_integer_operators_have_a_column(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    proto = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 18]> {QUANTISED}')
    proto.graph.initializer.append(numpy_helper.from_array(np.ones((16, 8, 1, 1), np.uint8), "v"))
    onnx.save(proto, tmp_path / "int.onnx")
    done = run_tvmopt("inspect", "int.onnx")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^layer +operator +shapes +precision +GFLOP +GIOP .* op/byte ", done.stdout, re.MULTILINE)
    assert re.search(r"^ConvInteger_c +ConvInteger +\S+ .* 0.0000 +0.0001 +128 ", done.stdout, re.MULTILINE), (
        done.stdout
    )


def test_gaps_do_not_stop_inspect_and_all_are_listed(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    tiny.save_onnx(tmp_path / "gaps.onnx", GAPS)
    done = run_tvmopt("inspect", "gaps.onnx", "--json", "gaps.json")
    assert done.returncode == 0, done.stderr
    assert re.search(r"^RandomUniformLike_a +RandomUniformLike +1×8×14×14 → 1×8×14×14", done.stdout, re.MULTILINE)
    assert "  importer   2 gaps to close before compiling\n" in done.stdout
    assert re.search(
        r"operator RandomUniformLike, 1 of them +no +RandomUniformLike_a +make the numbers outside", done.stdout
    )
    assert re.search(r"operator Frobnicate, 1 of them +no +Frobnicate_b +correct the name", done.stdout)
    assert "no rule counts the operations of Frobnicate (Frobnicate_b)" in done.stdout
    assert [gap["blocks"] for gap in json.loads((tmp_path / "gaps.json").read_text())["gaps"]] == [True, True]


def test_names_of_layers_are_whole_and_no_markup(run_tvmopt: RunTvmopt, tmp_path: Path) -> None:
    graph = tiny.TWO_CONVOLUTIONS.replace("float[1,8,14,14]", "float[N,8,H,W]").replace("[1,16,14,14]", "[A,B,C,D]")
    proto = onnx.load(tiny.save_onnx(tmp_path / "open.onnx", graph))
    proto.graph.node[0].name, proto.graph.node[1].name = LONG, "[/x]:bug:"
    onnx.save(proto, tmp_path / "open.onnx")
    done = run_tvmopt("inspect", "open.onnx", "--input-shape", "x:3,8,10,12")
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^{re.escape(LONG)} +Conv ", done.stdout, re.MULTILINE)
    assert re.search(r"^\[/x\]:bug: +Relu ", done.stdout, re.MULTILINE)
    assert "outputs  y 3×16×10×12 float32" in done.stdout


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_nothing_is_cut_on_a_narrow_terminal(model: Path, width: int) -> None:
    found = inspect_model(str(model), parse_target("x86-64-v3", 2))
    written = io.StringIO()
    console = Console(file=written, width=width, markup=False)
    for part in parts(found):
        console.print(part)
    lines = written.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert "…" not in written.getvalue()
    left_out = {120: "read KiB, written KiB", 160: None}.get(width, "shapes, read KiB, written KiB")
    assert ("1×8×14×14, 16×8×3×3 → 1×16×14×14" in written.getvalue()) == (width > 100)
    assert ("left out here" in written.getvalue()) == (left_out is not None)
    assert f"left out here: {left_out};" in written.getvalue() or left_out is None
    assert {"Conv_a", "Relu_b", "Conv_y", "total"} <= {line.split(" ")[0] for line in lines}


@pytest.mark.slow
@pytest.mark.parametrize("target", ["armv7", "cuda:sm_90"])
def test_other_targets(run_tvmopt: RunTvmopt, model: Path, target: str) -> None:
    done = run_tvmopt("inspect", model, "--target", target)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^  planned arena +\d", done.stdout, re.MULTILINE) or "apt-get install" in done.stdout
    assert ("Tasks" in done.stdout) == (target == "armv7")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("tow.onnx", 3, ["'tow.onnx' does not exist", "did you mean two.onnx"]),
        ("text.onnx", 3, ["text.onnx", "not an ONNX model"]),
        ("empty.onnx", 3, ["empty (0 bytes)"]),
        ("text.txt", 3, ["text.txt", listed_forms()]),
        ("open.onnx", 4, ["'x' (N,8,H,W)", "--input-shape x:1,8,224,224"]),
        ("two.onnx --target aarch46", 2, ["unknown target 'aarch46'", "did you mean aarch64"]),
        ("two.onnx --threads 0", 2, ["--threads", "0"]),
        ("two.onnx --input-shape z:1,2", 2, ["unknown input 'z'", "known: x"]),
        ("two.onnx --json out.txt", 2, [".json", "'out.txt'"]),
        ("two.onnx --json nowhere/out.json", 2, ["no folder 'nowhere'"]),
        ("", 2, ["MODEL"]),
    ],
)
def test_bad_input(
    run_tvmopt: RunTvmopt, model: Path, tmp_path: Path, arguments: str, code: int, says: list[str]
) -> None:
    for name in ("text.onnx", "text.txt"):
        (tmp_path / name).write_text("not a model\n")
    (tmp_path / "empty.onnx").touch()
    tiny.save_onnx(tmp_path / "open.onnx", "g (float[N,8,H,W] x) => (float[A,B,C,D] y) { y = Relu (x) }")
    before = sorted(tmp_path.iterdir())
    done = run_tvmopt("inspect", *arguments.split())
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("tvmopt: error: ")
    assert done.stderr.count("\n") == 1
    assert all(part in done.stderr for part in says), done.stderr
    assert sorted(tmp_path.iterdir()) == before
