"""Coverage of a model, and all gaps at once, each with a remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests import tiny
from tvmopt.pipeline.compiler.compile import compile_model
from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.inspection.coverage import FALLBACK, FOLDED, GPU_RULES, NONE, UNKNOWN, VIEW
from tvmopt.pipeline.inspection.inspect import Inspection, inspect_model
from tvmopt.schedules.target import parse_target

Inspect = Callable[..., Inspection]


@pytest.fixture
def inspect(tmp_path: Path) -> Inspect:
    """Inspects a model in ONNX's textual form."""

    def run(graph: str, target: str = "x86-64-v3") -> Inspection:
        return inspect_model(str(tiny.save_onnx(tmp_path / "net.onnx", graph)), parse_target(target, 2))

    return run


def test_templates_cover_two_convolutions(inspect: Inspect) -> None:
    found = inspect(tiny.TWO_CONVOLUTIONS)
    assert dict(found.coverage.kernels) == dict.fromkeys(("Conv_a", "Relu_b", "Conv_y"), "conv2d")
    assert found.coverage.gaps == ()
    assert found.coverage.compiles


def test_views_folded_layers_and_the_fallback(inspect: Inspect) -> None:
    found = inspect(
        "g (float[1,8,14,14] x) => (float[1,1568] y)"
        " { a = Identity (x) b = CumSum (a, at) c = Relu (b) y = Flatten (c) }".replace(
            "(float[1,1568] y)", "(float[1,1568] y) <int64 at = {1}>"
        )
    )
    kernels = found.coverage.kernels
    assert kernels == {"Identity_a": FOLDED, "CumSum_b": FALLBACK, "Relu_c": "pointwise", "Flatten_y": VIEW}
    (gap,) = found.coverage.gaps
    assert (gap.stage, gap.layers, gap.blocks) == ("templates", ("CumSum_b",), False)
    assert "no template takes the operator" in gap.what
    assert found.coverage.compiles
    assert found.memory.arena_bytes is not None


def test_a_form_that_templates_do_not_take(inspect: Inspect) -> None:
    found = inspect("g (double[1,8,14] x) => (double[1,8,14] y) { y = Relu (x) }")
    (gap,) = found.coverage.gaps
    assert gap.what == "Relu: templates take it only in float32"
    assert not gap.blocks


def test_unsupported_operators_leave_the_rest_to_see(inspect: Inspect) -> None:
    found = inspect(
        "g (float[1,4,4] x) => (float[1,4,4] y) { a = RandomUniformLike (x) b = RandomNormalLike (a) y = Relu (b) }"
    )
    assert dict(found.coverage.kernels) == {
        "RandomUniformLike_a": NONE,
        "RandomNormalLike_b": NONE,
        "Relu_y": "pointwise",
    }
    assert [(gap.layers, gap.blocks) for gap in found.coverage.gaps] == [
        (("RandomUniformLike_a",), True),
        (("RandomNormalLike_b",), True),
    ]
    assert "as an input" in found.coverage.gaps[0].remedy
    assert all(gap.remedy for gap in found.coverage.gaps)
    assert not found.coverage.compiles
    assert found.memory.arena_bytes is None
    assert [task.workload.op for task in found.tasks] == ["pointwise"]


def test_without_a_normal_form_nothing_is_known_of_templates(inspect: Inspect) -> None:
    found = inspect("g (float[1,4] x) => (float[1,4] y) { a = Frobnicate (x) y = Relu (a) }")
    assert set(found.coverage.kernels.values()) == {UNKNOWN}
    (gap,) = found.coverage.gaps
    assert "ONNX defines no such operator" in gap.remedy
    assert found.tasks == ()


def test_values_that_depend_on_data(inspect: Inspect) -> None:
    found = inspect("g (int64[1] x) => (float[n] y) { y = ConstantOfShape (x) }")
    (gap,) = found.coverage.gaps
    assert (gap.stage, gap.layers, gap.blocks) == ("importer", ("ConstantOfShape_y",), True)
    assert "--input-shape" in gap.remedy


def test_operators_that_tvms_importer_refuses(
    tmp_path: Path, onnx_model: Callable[..., onnx.ModelProto], capfd: pytest.CaptureFixture[str]
) -> None:
    model = onnx_model(
        ("MaxPool", "x", "y places", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        inputs={"x": (1, 3, 5, 5)},
        outputs="y places",
    )
    onnx.save(model, tmp_path / "net.onnx")
    found = inspect_model(str(tmp_path / "net.onnx"), parse_target("x86-64-v3", 2))
    assert found.coverage.kernels == {"MaxPool0": NONE}
    (gap,) = found.coverage.gaps
    assert (gap.stage, gap.layers, gap.blocks) == ("importer", ("MaxPool0",), True)
    assert "MaxPool: TVM's importer refuses it" in gap.what
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_a_gpu_takes_everything_its_own_way(inspect: Inspect) -> None:
    found = inspect(tiny.TWO_CONVOLUTIONS, "cuda")
    assert set(found.coverage.kernels.values()) == {GPU_RULES}
    assert [(gap.stage, gap.blocks) for gap in found.coverage.gaps] == [("target", False)]
    assert found.tasks == ()
    assert found.memory.arena_bytes


def test_a_linker_that_is_missing(inspect: Inspect, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = inspect(tiny.TWO_CONVOLUTIONS, "aarch64")
    (gap,) = found.coverage.gaps
    assert (gap.stage, gap.blocks) == ("target", True)
    assert gap.remedy == "apt-get install g++-aarch64-linux-gnu"
    assert found.tasks


def test_json(inspect: Inspect) -> None:
    found = inspect(tiny.TWO_CONVOLUTIONS)
    data = found.to_json()
    assert data["total"]["flops"] == sum(layer["flops"] for layer in data["layers"])
    assert [layer["kernel"] for layer in data["layers"]] == ["conv2d"] * 3
    assert data["memory"]["arena_bytes"] == found.memory.arena_bytes
    assert sum(task["weight"] * task["flops"] for task in data["tasks"]) > 0


@pytest.mark.parametrize(
    ("nodes", "reason"),
    [
        ("y = com.microsoft.Inverse(x)", "Inverse of domain 'com.microsoft'"),
        ("a = com.microsoft.Inverse(x) y = com.microsoft.Gelu(a)", "Inverse of domain 'com.microsoft'"),
        ("y = com.microsoft.Gelu(x)", ""),
        ("a = com.microsoft.FastGelu(x) y = com.microsoft.FusedMatMul<transB=1>(a, x)", ""),
    ],
)
def test_inspecting_says_what_compiling_does(tmp_path: Path, nodes: str, reason: str) -> None:
    """One refuses what the other refuses, in the same words."""
    versions = '<ir_version: 10, opset_import: ["" : 18, "com.microsoft" : 1]>'
    path, target = tmp_path / "net.onnx", parse_target("llvm", 2)
    onnx.save(onnx.parser.parse_model(f"{versions} g (float[2,3,3] x) => (float[2,3,3] y) {{ {nodes} }}"), path)
    found = inspect_model(str(path), target)
    try:
        compile_model(load_model(str(path)), target, None, tmp_path / "net.tar")
        refusal = ""
    except TvmoptError as error:
        refusal = str(error)
    assert found.coverage.compiles == (not refusal) == (not reason)
    assert reason in refusal
    assert not reason or any(gap.blocks and reason.split(maxsplit=1)[0] in gap.what for gap in found.coverage.gaps)
