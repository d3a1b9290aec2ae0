"""`load_model` as users see it: every kind of model and every error."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tests.quantised import residual
from tvmopt.pipeline.errors import InputFileError, TvmoptError, UnsupportedModelError, UsageError
from tvmopt.pipeline.importers import example_inputs, load_model
from tvmopt.pipeline.importers.golden import golden_pair
from tvmopt.pipeline.importers.pytorch.quiet import quiet
from tvmopt.pipeline.support import onnxruntime
from tvmopt.pipeline.support.onnxruntime import open_session, run_model
from tvmopt.pipeline.types import ImportedModel, TensorSpec

SaveOnnx = Callable[..., str]
SavePython = Callable[..., str]
Normal = Callable[..., np.ndarray]
DYNAMIC = (
    "g (float[N,3,H,W] x) => (float[N,4,h,w] y) { c=Conv<pads=[1,1,1,1]>(x,w) s=Shape(c) r=Relu(c) y=Reshape(r,s) }"
)

BRANCH = """
g (float[1] x, bool c) => (float[1] y) {
    y = If(c) <then_branch = a () => (float[1] p) { p = RandomNormalLike(x) },
               else_branch = b () => (float[1] q) { q = Abs(x) }>
}
"""
LOOP = """
g (float[1] x, int64 n, bool c) => (float[1] y) {
    y = Loop(n, c, x) <body = b (int64 i, bool k, float[1] v) => (bool l, float[1] u) { l = Identity(k) u = Add(v, v) }>
}
"""


def checked(model: ImportedModel) -> ImportedModel:
    """`model`, after checking everything that an imported model guarantees."""
    for form in (model.original, model.normalized):
        onnx.checker.check_model(form, full_check=True)
        assert [value.name for value in form.graph.input] == [spec.name for spec in model.inputs]
        assert [value.name for value in form.graph.output] == [spec.name for spec in model.outputs]
    outputs = run_model(model.original, example_inputs(model))
    for spec in model.outputs:
        assert (outputs[spec.name].shape, outputs[spec.name].dtype.name) == (spec.shape, spec.dtype)
    content = model.original.SerializeToString(deterministic=True)
    assert model.sha256 == hashlib.sha256(content).hexdigest()
    return model


def refused(error: type[TvmoptError], spec: str, *args: object) -> str:
    with pytest.raises(error) as raised:
        load_model(spec, *args)  # type: ignore[arg-type]  # some are wrong on purpose
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_mlp(save_onnx: SaveOnnx, normal: Normal) -> None:
    graph = "g (float[1,13] x) => (float[1,1] y) { h=Gemm(x,v,b) r=Relu(h) y=Gemm(r,w) }"
    model = checked(load_model(save_onnx(graph, v=normal(13, 7), b=normal(7), w=normal(7, 1))))
    assert (model.name, model.source.kind) == ("model", "onnx")
    assert model.inputs == (TensorSpec("x", (1, 13), "float32"),)
    assert [node.op_type for node in model.normalized.graph.node] == ["Gemm", "Relu", "Gemm"]


def test_a_dynamic_network_needs_shapes(save_onnx: SaveOnnx, normal: Normal) -> None:
    spec = save_onnx(DYNAMIC, w=normal(4, 3, 3, 3))
    message = refused(UnsupportedModelError, spec)
    assert message == (
        f"{spec}: inputs of dynamic shape: 'x' (N,3,H,W); give their sizes, as in --input-shape x:1,3,224,224"
    )
    assert "'x' (N,3,H,W)" in refused(UnsupportedModelError, spec, None, 2)
    model = checked(load_model(spec, {"x": (1, 3, 7, 5)}))
    assert model.outputs == (TensorSpec("y", (1, 4, 7, 5), "float32"),)
    assert checked(load_model(spec, {"x": (1, 3, 7, 5)}, batch=3)).inputs[0].shape == (3, 3, 7, 5)


def test_invalid_shapes(save_onnx: SaveOnnx, normal: Normal) -> None:
    spec = save_onnx(DYNAMIC, w=normal(4, 3, 3, 3))
    assert "unknown input 'X'" in refused(UsageError, spec, {"X": (1, 3, 8, 8)})
    assert "4 dimensions N,3,H,W, got 1,3" in refused(UsageError, spec, {"x": (1, 3)})
    assert "positive sizes, got 1,3,0,8" in refused(UsageError, spec, {"x": (1, 3, 0, 8)})
    assert "at least 1, got 0" in refused(UsageError, spec, None, 0)
    assert "Conv" in refused(UnsupportedModelError, spec, {"x": (1, 5, 8, 8)})


def test_two_inputs_and_two_outputs(save_onnx: SaveOnnx) -> None:
    spec = save_onnx("g (float[2,3] a, float[2,3] b) => (float[2,3] s, float[2,3] d) { s=Add(a,b) d=Sub(a,b) }")
    assert [output.name for output in checked(load_model(spec)).outputs] == ["s", "d"]
    assert [value.shape for value in checked(load_model(spec, batch=4)).outputs] == [(4, 3), (4, 3)]


def test_integer_inputs(save_onnx: SaveOnnx, normal: Normal) -> None:
    model = checked(load_model(save_onnx("g (int64[1,9] ids) => (float[1,9,4] y) { y=Gather(w,ids) }", w=normal(3, 4))))
    ids = example_inputs(model, seed=5)["ids"]
    assert ids.dtype == np.int64
    assert ids.max() < 3


def test_initialisers_as_inputs(save_onnx: SaveOnnx, normal: Normal) -> None:
    graph = "g (float[1,4] x, float[4,2] w) => (float[1,2] y) { y=MatMul(x,w) }"
    model = checked(load_model(save_onnx(graph, opset=7, ir_version=3, w=normal(4, 2))))
    assert [spec.name for spec in model.inputs] == ["x"]


def test_external_data(save_onnx: SaveOnnx, normal: Normal, tmp_path: Path) -> None:
    spec = save_onnx("g (float[1,64] x) => (float[1,64] y) { y=MatMul(x,w) }", w=normal(64, 64))
    before = load_model(spec)
    onnx.save(onnx.load(spec), spec, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert checked(load_model(spec)).sha256 == before.sha256
    (tmp_path / "models").mkdir()
    inner = tmp_path / "models" / "model.onnx"
    inner.write_bytes(Path(spec).read_bytes().replace(b"weights.bin", b"../weightss"))
    assert "must lie in the model's folder" in refused(InputFileError, str(inner))


@pytest.mark.parametrize(
    ("graph", "parts"),
    [
        (BRANCH, ["RandomNormalLike (1x"]),
        (LOOP, ["Loop (1x, first at 'Loop_y')"]),
        (
            "g (float[1,4] x) => (float[1,4] y) { a=my.ops.Foo(x) b=my.ops.Foo(a) y=RandomNormalLike(b) }",
            ["Foo of domain 'my.ops' (2x, first at 'a')", "RandomNormalLike (1x, first at 'y')"],
        ),
        ("g (int64[1] x) => (float[n] y) { y=ConstantOfShape(x) }", ["'ConstantOfShape_y'", "depends on the data"]),
    ],
    ids=["if", "loop", "domain", "data-dependent"],
)
def test_operators_that_cannot_be_compiled(save_onnx: SaveOnnx, graph: str, parts: list[str]) -> None:
    message = refused(UnsupportedModelError, save_onnx(graph))
    assert [part for part in parts if part not in message] == []


def test_names_from_the_file_cannot_break_or_colour_the_line(save_onnx: SaveOnnx) -> None:
    spec = save_onnx("g (float[1] x) => (float[1] y) { y=my.ops.Foo(x) }")
    model = onnx.load(spec)
    model.graph.node[0].op_type = "Foo\n\x1b[31m"
    onnx.save(model, spec)
    assert "\x1b" not in refused(UnsupportedModelError, spec)


def test_a_batch_that_is_fixed_inside(save_onnx: SaveOnnx) -> None:
    spec = save_onnx("g (float[1,3,4] x) => (float[1,12] y) <int64[2] s={1,12}> { y=Reshape(x,s) }")
    assert "fixed to a batch of 1 and cannot be given one of 2" in refused(UnsupportedModelError, spec, None, 2)


@pytest.mark.parametrize("content", [b"", b"\x08\x0a\x12", bytes(range(256)) * 8])
def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert refused(InputFileError, str(path)).startswith(f"{path}: the file ")


def test_a_folder(tmp_path: Path) -> None:
    assert "is a folder" in refused(InputFileError, str(tmp_path))


def test_a_factory(save_python: SavePython) -> None:
    spec = save_python(
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.SiLU(), nn.Flatten(), nn.Linear(144, 2))\n"
        "    return body, (torch.randn(1, 3, 8, 8),)"
    )
    model = checked(load_model(spec))
    assert (model.name, model.source.kind, model.source.factory) == ("net", "python", "build")
    assert model.inputs == (TensorSpec("input", (1, 3, 8, 8), "float32"),)
    assert model.outputs == (TensorSpec("output", (1, 2), "float32"),)
    assert load_model(spec).sha256 == model.sha256
    assert checked(load_model(spec, batch=2)).outputs[0].shape == (2, 2)
    assert "unknown input 'x'" in refused(UsageError, spec, {"x": (1, 3, 8, 8)})


@pytest.mark.parametrize(
    ("code", "error", "part"),
    [
        ("def build(:", InputFileError, "line 3: not Python"),
        ("1 / 0\ndef build(): pass", InputFileError, "ZeroDivisionError at net.py:3"),
        ("def build():\n    raise KeyError('lost')", UnsupportedModelError, "KeyError at net.py:4: 'lost'"),
        ("def build():\n    return nn.ReLU()", UnsupportedModelError, "returned ReLU: (nn.Module, example inputs"),
        (
            """class Net(nn.Module):
    def forward(self, x):
        return torch.linalg.det(x)
def build():
    return Net(), (torch.ones(7, 7),)""",
            UnsupportedModelError,
            "Det (1x, first at ",
        ),
        ("def bild(): pass", InputFileError, "unknown factory 'build'; did you mean bild?"),
    ],
)
def test_factories_that_fail(save_python: SavePython, code: str, error: type[TvmoptError], part: str) -> None:
    assert part in refused(error, save_python(code))


def test_an_exported_program(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    network = nn.Sequential(nn.Linear(3, 4), nn.Hardswish()).eval()
    dynamic = ({0: torch.export.Dim("batch")},)
    with quiet():
        torch.export.save(torch.export.export(network, (torch.ones(2, 3),), dynamic_shapes=dynamic), path)
    assert checked(load_model(str(path))).inputs[0].shape == (2, 3)
    assert checked(load_model(str(path), batch=5)).inputs[0].shape == (5, 3)
    assert checked(load_model(str(path), {"input": (1, 3)})).inputs[0].shape == (1, 3)
    with quiet():
        torch.export.save(torch.export.export(nn.Unflatten(0, (1, 2)), (torch.ones(2, 3),)), path)
    assert "fixed to a batch of 2" in refused(UnsupportedModelError, str(path), None, 4)
    path.write_bytes(path.read_bytes()[:500])
    assert "not a .pt2 archive" in refused(InputFileError, str(path))


def test_example_inputs_are_repeatable(save_onnx: SaveOnnx) -> None:
    model = load_model(save_onnx("g (float[2,3] x) => (float[2,3] y) { y=Relu(x) }"))
    assert np.array_equal(example_inputs(model)["x"], example_inputs(model, seed=0)["x"])
    assert not np.array_equal(example_inputs(model)["x"], example_inputs(model, seed=1)["x"])


def test_onnx_models_need_no_torch_and_no_tvm(save_onnx: SaveOnnx, repository: Path) -> None:
    spec = save_onnx("g (float[2,3] x) => (float[2,3] y) { y=Relu(x) }")
    code = (
        "import sys; from tvmopt.pipeline.importers import load_model; print('onnx' in sys.modules);"
        f"load_model({spec!r}); print([name for name in ('torch', 'tvm') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=repository
    )
    assert done.stdout.split("\n")[:2] == ["False", "[]"]
    assert done.stderr == ""


def test_pytorch_that_is_missing_is_named_with_its_cure(save_python: SavePython, repository: Path) -> None:
    spec = save_python("def build(): pass")
    code = (
        "import sys; sys.modules.update(torch=None, onnxscript=None)\n"
        "from tvmopt.pipeline.importers import load_model\nfrom tvmopt.pipeline.errors import RuntimeMissingError\n"
        f"try: load_model({spec!r})\nexcept RuntimeMissingError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=repository
    )
    assert "PyTorch models need torch and onnxscript: pip install 'tvmopt[torch]'" in done.stdout


def test_a_quantised_model_gives_golden_outputs_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What onnxruntime's optimisations make of it saturates on some processors."""
    onnx.save(residual(), tmp_path / "residual.onnx")
    model = load_model(str(tmp_path / "residual.onnx"))
    levels: list[str] = []

    def opened(form: onnx.ModelProto, level: str) -> object:
        levels.append(level)
        return open_session(form, level)

    monkeypatch.setattr(onnxruntime, "open_session", opened)
    inputs, outputs = golden_pair(model)
    monkeypatch.undo()
    assert levels == ["ORT_DISABLE_ALL"]
    expected = run_model(model.original, inputs)
    assert all(np.array_equal(one, other) for one, other in zip(outputs.values(), expected.values(), strict=True))
