"""The importers of PyTorch models: exported programs, and factories in Python files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tvmopt.pipeline.importers.base import Importer, OnnxForm
from tvmopt.pipeline.importers.pytorch.factory_name import find_factory

if TYPE_CHECKING:
    import numpy as np

    from tvmopt.pipeline.importers.base import Stored
    from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
    from tvmopt.pipeline.types import ImportedModel, ModelSource

_PICKLES = (".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pt", ".pth")
"""Suffixes of pickled files, which run code when they are read."""


def _load_program(source: ModelSource, request: ShapeRequest, strict: bool) -> OnnxForm:
    """Dynamic sizes of the program become those of its example inputs unless the user asks for others."""
    from tvmopt.pipeline.importers.pytorch.export import export_program, load_program

    form = export_program(load_program(source), strict, source.values)
    sizes = {name: x.shape for name, x in form.inputs.items()}
    return replace(form, request=replace(request, defaults={**sizes, **request.defaults}))


def _stored(source: ModelSource) -> Stored:
    from tvmopt.pipeline.importers.pytorch.stored_tensors import stored_tensors

    return stored_tensors(source)


def _load_module(source: ModelSource, request: ShapeRequest, strict: bool) -> OnnxForm:
    from tvmopt.pipeline.importers.pytorch.export import export_onnx, load_module

    module, inputs = load_module(source)
    return export_onnx(module, inputs, source, request, run=strict)


def _check(form: OnnxForm) -> None:
    from tvmopt.pipeline.importers.pytorch.check import check_against_framework

    check_against_framework(form)


def _layer_values(
    model: ImportedModel, inputs: Mapping[str, np.ndarray], names: Collection[str]
) -> Mapping[str, np.ndarray]:
    from tvmopt.pipeline.importers.pytorch.layer_values import framework_values

    return framework_values(model, inputs, names)


PT2_IMPORTER = Importer(
    kind="pt2",
    title="an exported PyTorch program",
    about="a PyTorch program, as torch.export.save writes it",
    form="file.pt2",
    suffixes=(".pt2",),
    load=_load_program,
    framework="PyTorch",
    check=_check,
    layer_values=_layer_values,
    original_runtime="pytorch",
    stored=_stored,
    refused={
        suffix: f"is a pickle ({suffix}), which can run any code when it is read: "
        "save the model with torch.export.save as .pt2, or write path/file.py:factory that builds it"
        for suffix in _PICKLES
    },
)

PYTHON_IMPORTER = Importer(
    kind="python",
    title="a PyTorch module",
    about="a callable without arguments that returns an nn.Module and its example inputs",
    form="path/file.py:factory",
    suffixes=(".py",),
    load=_load_module,
    find_factory=find_factory,
    framework="PyTorch",
    check=_check,
    layer_values=_layer_values,
    original_runtime="pytorch",
    refused={".safetensors": "holds weights but no model: write path/file.py:factory that loads them"},
)
