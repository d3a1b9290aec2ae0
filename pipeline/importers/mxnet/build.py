"""Translates an MXNet network into ONNX, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx

from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers.mxnet.layers import (
    detection,
    elementwise,
    pooling,
    products,
    recurrent,
    shaping,
    slicing,
    weighted,
)
from tvmopt.pipeline.importers.mxnet.layers.work import Known, Open, Operand, Translate, Work
from tvmopt.pipeline.importers.mxnet.params import Param, find_files, read_params
from tvmopt.pipeline.importers.mxnet.symbol import Entry, Node, Symbol, read_symbol
from tvmopt.pipeline.importers.onnx_form.building.builder import GraphBuilder
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest, settle_stored

_FAMILIES = (weighted, pooling, recurrent, detection, elementwise, products, shaping, slicing)
OPERATORS: Mapping[str, Translate] = {
    **{name: translate for family in _FAMILIES for name, translate in family.OPERATORS.items()},
    "_rnn_param_concat": shaping.OPERATORS["concat"],
}
"""By operator, what translates a node."""

_TRAINING = frozenset(
    ("CTCLoss", "MultiBoxTarget", "Proposal", "SVMOutput", "_contrib_CTCLoss", "_contrib_MultiBoxTarget", "ctc_loss")
)
"""Operators that only training has."""

_PARAMETER_ENDINGS = (
    "_weight",
    "_bias",
    "_gamma",
    "_beta",
    "_moving_mean",
    "_moving_var",
    "_running_mean",
    "_running_var",
)


def import_mxnet(path: Path, request: ShapeRequest) -> onnx.ModelProto:
    """The network of which `path` is one file, in ONNX, with inputs of the shapes that `request` asks for.

    Args:
        path: the `-symbol.json` or the `.params`.
        request: shapes and batch.

    Returns:
        The network as it runs after training, with the user's names of layers and inputs. An output is called as MXNet
        does: ``<layer>_output``, with a number where the layer has several.

    Raises:
        InputFileError: a file cannot be read, or the two do not belong together.
        UnsupportedModelError: operators that are not known; names all of them.
        UsageError: a shape for an input that is not there.
    """
    pair = find_files(path) if path.name.lower().endswith(".params") else None
    symbol = read_symbol(path if pair is None else pair[0])
    _check_operators(symbol, path)
    params_file = (pair or find_files(path))[1]
    params = read_params(params_file)
    builder = GraphBuilder(path.name.split("-symbol")[0])
    values: dict[Entry, Operand] = {}
    free = {n: node for n, node in enumerate(symbol.nodes) if n in symbol.needed and node.operator == "null"}
    inputs = {number: node for number, node in free.items() if node.name not in params}
    for node in inputs.values():
        if node.name.endswith(_PARAMETER_ENDINGS):
            raise InputFileError(f"{params_file.name!r} lacks {node.name!r}: it belongs to another network")
    shapes = settle_stored({node.name: node.sizes("__shape__") for node in inputs.values()}, request)
    for number, node in inputs.items():
        values[number, 0] = builder.input(node.name, shapes[node.name])
    for number, node in enumerate(symbol.nodes):
        if number in symbol.needed and node.operator != "null":
            _translate(builder, values, (number, node), symbol, params)
    outputs = []
    for head in symbol.heads:
        if head not in values:
            raise InputFileError(f"output {head[1]} of layer {symbol.nodes[head[0]].name!r} is not there")
        node = symbol.nodes[head[0]]
        several = (head[0], 1) in values
        outputs.append((_in_graph(builder, values[head]), f"{node.name}_output{head[1] if several else ''}"))
    return builder.model(list(dict.fromkeys(outputs)))


def _in_graph(builder: GraphBuilder, operand: Operand) -> str:
    """A value of the graph; a constant for what is known before it runs."""
    if isinstance(operand, Open):
        raise UnsupportedModelError(f"an output is zeros of the open shape {list(operand.shape)}: give it in full")
    return operand if isinstance(operand, str) else builder.constant(operand.read(), "known")


def _check_operators(symbol: Symbol, path: Path) -> None:
    unknown: dict[str, list[str]] = {}
    for number in sorted(symbol.needed):
        node = symbol.nodes[number]
        if node.operator != "null" and node.operator not in OPERATORS:
            unknown.setdefault(node.operator, []).append(node.name)
    if unknown:
        found = ", ".join(
            f"{kind} ({', '.join(names[:4])}{f' and {len(names) - 4} more' * (len(names) > 4)})"
            for kind, names in unknown.items()
        )
        trained = _TRAINING & unknown.keys()
        training = f"; {', '.join(sorted(trained))}: of training, save the network for deployment" if trained else ""
        raise UnsupportedModelError(
            f"{path.name!r} has unknown operators: {found}; write them with other operators, or cut the network before "
            f"them (get_internals){training}"
        )


def _translate(
    builder: GraphBuilder,
    values: dict[Entry, Operand],
    numbered: tuple[int, Node],
    symbol: Symbol,
    params: Mapping[str, Param],
) -> None:
    """Adds a node's nodes."""
    number, node = numbered
    builder.begin(node.name)
    operands: list[Operand] = []
    for entry in node.inputs:
        source = symbol.nodes[entry[0]]
        if source.operator == "null" and source.name in params:
            operands.append(params[source.name])
        elif entry in values:
            operands.append(values[entry])
        else:
            raise InputFileError(f"layer {node.name!r} reads output {entry[1]} of {source.name!r}, which is not there")
    known = _known(node, operands)
    if known is not None:
        values[number, 0] = known
        return
    made = list(OPERATORS[node.operator](Work(builder, node, tuple(operands))))
    names = [f"{node.name}_output{place if len(made) > 1 else ''}" for place in range(len(made))]
    for place, value in enumerate(builder.finish(made, names)):
        values[number, place] = value


def _known(node: Node, operands: Sequence[Operand]) -> Known | Open | None:
    """What a node makes of parameters alone, if that is how Gluon packs those of a recurrent layer; None for others."""
    label = f"layer {node.name!r} ({node.operator})"
    if node.operator in ("_zeros", "zeros") and 0 in node.sizes("shape"):
        return Open(node.sizes("shape"))
    held = [operand for operand in operands if isinstance(operand, (Param, Known))]
    if not held or len(held) != len(operands):
        return None
    if node.operator in ("Reshape", "reshape") and len(held) == 1:
        target = shaping.target_shape(label, held[0].shape, node)
        return Known(held[0].read().reshape(target))
    if node.operator == "_rnn_param_concat":
        arrays = [one.read() for one in held]
        try:
            return Known(np.concatenate(arrays, axis=node.value("dim", 1)))
        except ValueError as error:
            shapes = ", ".join(str(list(array.shape)) for array in arrays[:8])
            raise InputFileError(f"{label}: parameters of shapes {shapes} do not fit each other") from error
    return None
