from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from tvmopt.pipeline.errors import TvmoptError, UnsupportedModelError, UsageError, WrongResultError
from tvmopt.pipeline.importers.base import OnnxForm
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.importers.pytorch.check import check_against_framework
from tvmopt.pipeline.importers.pytorch.export import export_onnx, export_program, load_module, load_program
from tvmopt.pipeline.importers.pytorch.quiet import quiet
from tvmopt.pipeline.importers.source import parse_source
from tvmopt.pipeline.types import ModelSource

pytestmark = pytest.mark.slow  # a process or two for each test

SavePython = Callable[..., str]
SOURCE = ModelSource("net.py:build", "python", Path("net.py"), "build")


class Block(nn.Module):
    """Convolution, BatchNorm and activation inside a residual connection."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU6())

    def forward(self, image: Tensor) -> Tensor:
        return image + self.body(image)


class Branches(nn.Module):
    """Two inputs, and outputs in a dictionary, one of which is an input."""

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor | tuple[Tensor, Tensor]]:
        total = left + right
        return {"sum": total, "both": (total, right)}


def export(module: nn.Module, *inputs: Tensor, request: ShapeRequest | None = None) -> OnnxForm:
    result = export_onnx(module.eval(), inputs, SOURCE, request)
    check_against_framework(result)
    return result


def test_nodes_are_named_after_modules_and_machine_paths_are_gone() -> None:
    model = export(nn.Sequential(Block(), nn.Flatten(), nn.Linear(48, 2)), torch.randn(1, 3, 4, 4)).model
    assert [node.name for node in model.graph.node] == [
        "0.body.0/Conv",
        "0.body.2/Clip",
        "0/Add",
        "1/Reshape",
        "2/Gemm",
    ]
    content = model.SerializeToString()
    assert __file__.encode() not in content
    assert b"torch.ops" not in content
    assert not any(node.metadata_props for node in model.graph.node)


def test_exports_are_equal_byte_for_byte() -> None:
    module = Block().eval()
    first, again = (
        export(module, torch.ones(1, 3, 4, 4)).model.SerializeToString(deterministic=True) for _ in range(2)
    )
    assert first == again


def test_inputs_and_outputs_keep_their_names() -> None:
    result = export(Branches(), torch.randn(2, 3), torch.randn(2, 3))
    assert list(result.inputs) == [value.name for value in result.model.graph.input] == ["left", "right"]
    assert list(result.outputs) == [value.name for value in result.model.graph.output] == ["sum", "both_0", "both_1"]


def test_the_exporter_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    export(Block(), torch.ones(1, 3, 4, 4))
    assert capfd.readouterr() == ("", "")


def test_the_users_inputs_are_not_changed_by_modules_that_work_in_place() -> None:
    x = torch.randn(2, 3)
    before = x.clone()
    export(nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 2)), x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("request_", "shapes"),
    [
        (ShapeRequest(batch=4), [(4, 3), (4, 3)]),
        (ShapeRequest({"left": (5, 1)}), [(5, 1), (2, 3)]),
        (ShapeRequest({"left": (1, 3)}, batch=2), [(2, 3), (2, 3)]),
    ],
)
def test_shapes_are_changed_before_the_export(request_: ShapeRequest, shapes: list[tuple[int, ...]]) -> None:
    if shapes[0] == (5, 1):
        with pytest.raises(UnsupportedModelError, match="running the model on its inputs raised RuntimeError"):
            export(Branches(), torch.randn(2, 3), torch.randn(2, 3), request=request_)
        return
    result = export(Branches(), torch.randn(2, 3), torch.randn(2, 3), request=request_)
    assert [array.shape for array in result.inputs.values()] == shapes


def test_repeated_example_inputs_stay_valid_indices() -> None:
    table = nn.Embedding(5, 2)
    result = export(table, torch.tensor([[0, 4]]), request=ShapeRequest({"input": (3, 3)}))
    assert result.inputs["input"].tolist() == [[0, 4, 0], [4, 0, 4], [0, 4, 0]]


def test_an_unknown_input_is_named() -> None:
    with pytest.raises(UsageError, match=r"unknown input 'lefd'; did you mean left\? \(known: left, right\)"):
        export(Branches(), torch.ones(1), torch.ones(1), request=ShapeRequest({"lefd": (1,)}))


class Fails(nn.Module):
    """A module that fails in various ways."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> object:
        match self.how:
            case "raise":
                raise RuntimeError("first\nsecond")
            case "branch":
                return x if x.sum() > 0 else -x
            case "string":
                return x, "text"
            case "operator":
                return torch.linalg.svdvals(x) + torch.linalg.eigvals(x).real + torch.linalg.eigvals(x + 1).real
            case "complex":
                return torch.complex(x, x)
        return x


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "running the model on its inputs raised RuntimeError: first second"),
        ("branch", "torch.export cannot trace the model because a value decides what it does .*data-dependent"),
        ("string", "returns a str: only tensors"),
        (
            "operator",
            r"without ONNX form: .*aten.linalg_eig.default \(2x, first at 'linalg_eig'\), .*_linalg_svd.default \(1x",
        ),
        ("complex", "complex64"),
    ],
)
def test_modules_that_cannot_be_taken(how: str, message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message) as raised:
        export(Fails(how), torch.eye(3))
    assert "\n" not in str(raised.value)


def test_inputs_of_other_element_types() -> None:
    with pytest.raises(UnsupportedModelError, match="'input' has element type bfloat16"):
        export(nn.Linear(3, 2).bfloat16(), torch.ones(1, 3, dtype=torch.bfloat16))


def test_inputs_that_do_not_fit_forward() -> None:
    with pytest.raises(UnsupportedModelError, match=r"do not fit Branches\.forward: missing.*'right'"):
        export(Branches(), torch.ones(1))


def test_too_many_weights_are_refused_before_the_export() -> None:
    module = nn.Linear(1, 1)
    module.register_parameter("huge", nn.Parameter(torch.empty(1).expand(2**29)))
    with pytest.raises(UnsupportedModelError, match=r"the weights take 21474836.. bytes"):
        export(module, torch.ones(1, 1))


def test_random_layers_do_not_pass() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x)

    with pytest.raises(WrongResultError, match="differs from PyTorch's"):
        export(Noisy(), torch.ones(100))


def test_the_first_layer_that_differs_from_pytorch_is_named() -> None:
    result = export(nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU()), torch.randn(1, 4))
    broken = onnx.ModelProto.FromString(result.model.SerializeToString())
    weight = next(tensor for tensor in broken.graph.initializer if tensor.name == "2.weight")
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight) + np.float32(0.1), "2.weight"))
    with pytest.raises(WrongResultError, match=r"output 'output' .* from layer '2/Gemm' on"):
        check_against_framework(replace(result, model=broken))


def saved_and_loaded(module: nn.Module, path: Path, *inputs: Tensor, **options: object) -> ModelSource:
    with quiet():
        torch.export.save(torch.export.export(module.eval(), inputs, **options), path)  # type: ignore[arg-type]  # any
    return parse_source(str(path))


def test_an_exported_program_keeps_its_dynamic_sizes(tmp_path: Path) -> None:
    sizes = {"dynamic_shapes": ({0: torch.export.Dim("batch")},)}
    source = saved_and_loaded(Block(), tmp_path / "net.pt2", torch.randn(2, 3, 4, 4), **sizes)
    result = export_program(load_program(source))
    check_against_framework(result)
    assert result.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert result.model.graph.node[0].name == "body.0/Conv"


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("nn.Linear(3, 2)", r"returned Linear: \(nn.Module, example inputs"),
        ("None", "returned NoneType"),
        ("(1, 2, 3)", "returned a tuple of 3"),
        ("('x', (torch.ones(1),))", "returned str as the model"),
        ("(nn.Linear, (torch.ones(1),))", "returned type as the model"),
        ("(nn.Linear(3, 2), (3, 'x'))", r"returned \(int, str\) as example inputs"),
        ("(nn.Linear(3, 2), ())", r"returned \(\) as example inputs"),
        ("(nn.Linear(3, 2), None)", r"returned \(NoneType\) as example inputs"),
    ],
)
def test_factories_that_return_something_else(save_python: SavePython, returned: str, message: str) -> None:
    source = parse_source(save_python(f"def build():\n    return {returned}"))
    with pytest.raises(TvmoptError, match=message):
        load_module(source)


@pytest.mark.parametrize(
    "inputs", ["torch.ones(1, 3)", "(torch.ones(1, 3),)", "[torch.ones(1, 3, requires_grad=True)]"]
)
def test_modules_come_in_eval_mode(save_python: SavePython, inputs: str) -> None:
    module, loaded = load_module(
        parse_source(save_python(f"def build():\n    return nn.Linear(3, 2).train(), {inputs}"))
    )
    assert not module.training
    assert [tuple(x.shape) for x in loaded] == [(1, 3)]
    assert not loaded[0].requires_grad


def test_quiet_lets_warnings_through_afterwards() -> None:
    with quiet():
        warnings.warn("inside", stacklevel=1)
    with pytest.warns(UserWarning, match="outside"):
        warnings.warn("outside", stacklevel=1)
