"""The values that PyTorch computes inside a model, by their names in the ONNX form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.values import DTYPES
from tvmopt.pipeline.importers.pytorch import export as pytorch
from tvmopt.pipeline.importers.pytorch.layer_names import output_names
from tvmopt.pipeline.importers.pytorch.quiet import quiet
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.types import ImportedModel

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Arrays = Mapping[str, np.ndarray]


def framework_values(model: ImportedModel, inputs: Arrays, names: Collection[str]) -> dict[str, np.ndarray]:
    """Runs a model that came from PyTorch in PyTorch.

    Args:
        model: from a Python file or a ``.pt2`` file, which is loaded again.
        inputs: an array for each of the model's inputs.
        names: the wanted values of `model.original`.

    Returns:
        The wanted values that PyTorch's program computes, and all outputs.

    Raises:
        RuntimeMissingError: PyTorch is not installed.
        InputFileError, UnsupportedModelError: the model cannot be loaded or run a second time, or differs then.
    """
    pytorch.require_torch()
    import torch

    if model.source.kind == "pt2":
        export = pytorch.export_program(pytorch.load_program(model.source), values=model.source.values)
        return _recorded(export.program, [inputs.get(name, fixed) for name, fixed in export.inputs.items()], names)
    arrays = [inputs[spec.name] for spec in model.inputs]
    module, _ = pytorch.load_module(model.source)
    # Exporting for these inputs also gives PyTorch's own outputs: those of the module, not of the exported program.
    export = pytorch.export_onnx(module, tuple(torch.from_numpy(array.copy()) for array in arrays), model.source)
    if not _same(export.model.graph, model.original.graph):
        raise UnsupportedModelError(
            f"{model.source.factory}() returned a different network the second time; let it seed its weights"
        )
    return {**_recorded(export.program, arrays, names), **export.outputs}


def _recorded(program: ExportedProgram, arrays: list[np.ndarray], names: Collection[str]) -> dict[str, np.ndarray]:
    """The values `names` and the outputs of a program that was translated to ONNX: names are the same in both."""
    import torch

    values: dict[str, np.ndarray] = {}

    def keep(name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor) and str(value.dtype).removeprefix("torch.") in DTYPES:
            values[name] = value.detach().clone().numpy()

    class Recorder(torch.fx.Interpreter):
        def run_node(self, n: torch.fx.Node) -> Any:
            value = super().run_node(n)
            if n.name in names:
                keep(n.name, value)
            return value

    try:
        with quiet(), torch.no_grad():
            result = Recorder(program.module()).run(*(torch.from_numpy(array.copy()) for array in arrays))
            outputs = output_names(result, program)
    except Exception as error:  # an exported program may raise anything
        what = f"{type(error).__name__}: {one_line(error)}"
        raise UnsupportedModelError(f"running the program on these inputs raised {what}") from error
    for name, tensor in outputs.items():
        keep(name, tensor)
    return values


def _same(first: onnx.GraphProto, second: onnx.GraphProto) -> bool:
    """Whether two graphs have the same nodes and weights."""
    pairs = [*zip_longest(first.node, second.node), *zip_longest(first.initializer, second.initializer)]
    return all(a is not None and b is not None and a.SerializeToString() == b.SerializeToString() for a, b in pairs)
