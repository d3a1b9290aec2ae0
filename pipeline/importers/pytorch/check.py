"""Checks that an ONNX model computes what PyTorch does; if not, finds the first layer that differs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tvmopt.pipeline.errors import WrongResultError
from tvmopt.pipeline.importers.base import OnnxForm
from tvmopt.pipeline.importers.check.normalized import agrees, with_outputs
from tvmopt.pipeline.importers.pytorch.quiet import quiet
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import REWRITTEN


def check_against_framework(form: OnnxForm) -> None:
    """Checks that the ONNX model computes what PyTorch does.

    Raises:
        WrongResultError: it does not; names the first layer that differs.
        UnsupportedModelError: onnxruntime cannot run the model.
    """
    computed = run_model(form.model, form.inputs)
    for name, reference in form.outputs.items():
        if not agrees(reference, computed[name]):
            error, allowed = numeric_error(reference, computed[name]).relative, REWRITTEN.of(reference.dtype)
            raise WrongResultError(
                f"output {name!r} of the ONNX form differs from PyTorch's by {error:.2g} of its largest value, from "
                f"layer {_first_wrong_layer(form)!r} on; at most {allowed:g} is allowed"
            )


def _first_wrong_layer(form: OnnxForm) -> str:
    """The layer of the first value that PyTorch's exported program and the ONNX model both compute but differently."""
    import torch

    values: dict[str, np.ndarray] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                values[n.name] = value.detach().clone().numpy()
            return value

    with quiet(), torch.no_grad():
        Recorder(form.program.module()).run(*(torch.from_numpy(x.copy()) for x in form.inputs.values()))
    nodes = [(name, node) for node in form.model.graph.node for name in node.output if name in values]
    names = [name for name, _ in nodes]
    computed = run_model(with_outputs(form.model, names), form.inputs, names)
    for name, node in nodes:
        if not agrees(values[name], computed[name]):
            return str(node.name)
    return str(form.model.graph.node[-1].name)
