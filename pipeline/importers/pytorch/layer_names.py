"""Names that a user recognises, in ONNX models that torch exported."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.layer_names import unique
from tvmopt.pipeline.importers.onnx_form.values import DTYPES

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

_SCOPES = "pkg.torch.onnx.name_scopes"
_RULE = "pkg.onnxscript.rewriter.rule_name"


def output_names(outputs: Any, program: ExportedProgram) -> dict[str, Tensor]:
    """A name for each tensor that a model returns: `output`, `output_0`, or the key in a dictionary.

    Args:
        outputs: what the model returned: a tensor, or tuples, lists and dictionaries of tensors.
        program: the model; its inputs' names are taken already.

    Raises:
        UnsupportedModelError: the model returned something other than tensors.
    """
    import torch
    from torch.utils import _pytree as pytree

    taken = set(program.graph_signature.user_inputs)
    named: dict[str, Tensor] = {}
    for path, value in pytree.tree_flatten_with_path(outputs)[0]:
        if not isinstance(value, torch.Tensor):
            raise UnsupportedModelError(f"the model returns a {type(value).__name__}: only tensors are supported")
        keys = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
        name = "_".join(keys) if keys and not keys[0].isdecimal() else "_".join(["output", *keys])
        named[unique(name, taken)] = value
    return named


def as_array(name: str, tensor: Tensor) -> np.ndarray:
    """`tensor` as a numpy array.

    Raises:
        UnsupportedModelError: its element type is not supported; calls it `name`.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise UnsupportedModelError(f"value {name!r} has element type {dtype}; supported are {', '.join(DTYPES)}")
    array: np.ndarray = tensor.detach().numpy()
    return array


def friendly_names(model: onnx.ModelProto, program: ExportedProgram) -> onnx.ModelProto:
    """A copy of `model` with inputs named after parameters of `forward` and nodes after modules, without metadata.

    A node of module ``features.0`` becomes ``features.0/Conv``; a node of the outermost ``forward`` keeps the
    exporter's name for its function, such as ``add_1``. The metadata holds paths and source lines of this machine.

    Args:
        model: what torch exported.
        program: what it was exported from.
    """
    named = onnx.ModelProto()
    named.CopyFrom(model)
    taken: set[str] = set()
    for node in named.graph.node:
        node.name = unique(_node_name(node, set(program.state_dict)), taken)
        del node.metadata_props[:]
        node.doc_string = ""
    graph = named.graph
    for item in (graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    del named.metadata_props[:]
    named.doc_string = ""
    graph.name = "main"
    _name_inputs(graph, program.graph_signature.user_inputs)
    return named


def _name_inputs(graph: onnx.GraphProto, names: Sequence[Any]) -> None:
    """Gives each input its name in `names`, in place: the exporter renames inputs that are also outputs."""
    taken = {value for node in graph.node for value in (*node.input, *node.output)} | {v.name for v in graph.output}
    for value, name in zip(graph.input, names, strict=False):
        if value.name == name or name in taken:
            continue
        for node in graph.node:
            node.input[:] = [name if used == value.name else used for used in node.input]
        value.name = name


def _node_name(node: onnx.NodeProto, parameters: set[str]) -> str:
    notes = {entry.key: entry.value for entry in node.metadata_props}
    *scopes, function = ast.literal_eval(notes.get(_SCOPES, "[]")) or ("", "")
    module = next((scope for scope in reversed(scopes) if scope), "")
    if "BatchNorm" in notes.get(_RULE, ""):  # folded into a convolution, but noted under the BatchNorm's module
        module = next((name.rpartition(".")[0] for name in node.input if name in parameters), module)
    return f"{module}/{node.op_type}" if module else function or node.op_type
