"""Names that a user recognises, in ONNX models that torch exported."""

from __future__ import annotations

import ast
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import onnx

from pipeline.errors import UnsupportedModelError
from pipeline.importers.layers import unique

if TYPE_CHECKING:
    from torch import Tensor
    from torch.export import ExportedProgram

_SCOPES = "pkg.torch.onnx.name_scopes"
_RULE = "pkg.onnxscript.rewriter.rule_name"


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing on stdout or stderr, no warnings and no log lines: torch's exporter is talkative."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


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
            raise UnsupportedModelError(f"the model returns a {type(value).__name__}: only tensors are taken")
        keys = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", key)))) for key in path]
        name = "_".join(keys) if keys and not keys[0].isdecimal() else "_".join(["output", *keys])
        named[unique(name, taken)] = value
    return named


def friendly_names(model: onnx.ModelProto, parameters: set[str]) -> onnx.ModelProto:
    """A copy of `model` whose nodes are named after their modules, without the exporter's notes.

    A node of module ``features.0`` becomes ``features.0/Conv``; one that stands in the outermost ``forward`` keeps the
    exporter's name for its function, such as ``add_1``. The notes hold paths and source lines of this machine.

    Args:
        model: what torch exported.
        parameters: names of the module's parameters and buffers.
    """
    named = onnx.ModelProto()
    named.CopyFrom(model)
    taken: set[str] = set()
    for node in named.graph.node:
        node.name = unique(_node_name(node, parameters), taken)
        del node.metadata_props[:]
        node.doc_string = ""
    graph = named.graph
    for item in (graph, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del item.metadata_props[:]
        item.doc_string = ""
    del named.metadata_props[:]
    named.doc_string = ""
    graph.name = "main"
    return named


def _node_name(node: onnx.NodeProto, parameters: set[str]) -> str:
    notes = {entry.key: entry.value for entry in node.metadata_props}
    *scopes, function = ast.literal_eval(notes.get(_SCOPES, "[]")) or ("", "")
    module = next((scope for scope in reversed(scopes) if scope), "")
    if "BatchNorm" in notes.get(_RULE, ""):  # folded into a convolution, but noted under the BatchNorm's module
        module = next((name.rpartition(".")[0] for name in node.input if name in parameters), module)
    return f"{module}/{node.op_type}" if module else function or node.op_type
