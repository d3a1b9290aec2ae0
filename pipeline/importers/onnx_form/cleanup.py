"""Small rewrites that change no value: constants become initialisers, nodes that pass a value on are removed."""

from __future__ import annotations

import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.constants.constant_nodes import constants_to_initializers
from tvmopt.pipeline.importers.onnx_form.constants.empty_operands import drop_empty_operands
from tvmopt.pipeline.importers.onnx_form.layer_names import unique
from tvmopt.pipeline.importers.onnx_form.operators import all_nodes, standard_opset
from tvmopt.pipeline.support.weights.parked import array_of

PASSING_ON = ("Dropout", "Identity")
"""Operators whose first output is their first input (outside training)."""


def drop_initializer_inputs(model: onnx.ModelProto) -> None:
    """Removes initialisers from the inputs, in place: old exporters list them there as defaults."""
    stored = {tensor.name for tensor in model.graph.initializer}
    stored |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    kept = [value for value in model.graph.input if value.name not in stored]
    if len(kept) < len(model.graph.input):
        del model.graph.input[:]
        model.graph.input.extend(kept)
    model.ir_version = max(model.ir_version, 4)  # before 4, an initialiser had to be an input


def give_outputs_names(graph: onnx.GraphProto) -> None:
    """Gives each output a name that no input and no other output has, in place: copies take their places."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.input, *graph.initializer, *graph.output)}
    names = {value.name for value in graph.input}
    for output in graph.output:
        if output.name in names:
            made = unique(f"{output.name}_output", taken)
            graph.node.append(onnx.helper.make_node("Identity", [output.name], [made]))
            output.name = made
        names.add(output.name)


def sort_selections(graph: onnx.GraphProto) -> None:
    """Makes every TopK of `graph` and its subgraphs a sorted one, in place.

    ONNX leaves open in which order an unsorted one returns what it selects, so that no two runtimes need agree.
    """
    for node in all_nodes(graph.node):
        for attribute in node.attribute:
            if node.op_type == "TopK" and attribute.name == "sorted":
                attribute.i = 1


def clean_graph(model: onnx.ModelProto) -> None:
    """Tidies `model`, which must have no subgraphs and no functions, in place.

    Raises:
        UnsupportedModelError: a constant is not a tensor of numbers.
    """
    graph = model.graph
    constants_to_initializers(graph)
    drop_empty_operands(graph)
    _trim_outputs(graph, model)
    _remove_passing_on(graph)
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    # One by one: a list that is filled again would hold copies, and protobuf keeps the memory of the former ones.
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in used:
            del graph.initializer[index]
    del model.metadata_props[:]


def _trim_outputs(graph: onnx.GraphProto, model: onnx.ModelProto) -> None:
    """Drops unread optional outputs (`Dropout`'s mask, `LayerNormalization`'s mean), starting with the last."""
    used = {name for node in graph.node for name in node.input} | {output.name for output in graph.output}
    opset = standard_opset(model)
    for node in graph.node:
        if not onnx.defs.has(node.op_type, max_inclusive_version=opset, domain=node.domain):
            continue
        declared = onnx.defs.get_schema(node.op_type, max_inclusive_version=opset, domain="").outputs
        while len(node.output) > 1 and node.output[-1] not in used:
            last = declared[min(len(node.output), len(declared)) - 1]
            if last.option != onnx.defs.OpSchema.FormalParameterOption.Optional:
                break
            del node.output[-1]


def _remove_passing_on(graph: onnx.GraphProto) -> None:
    """Removes nodes that pass their input on, except where an output repeats an input, a constant or an output."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    outputs = {output.name for output in graph.output}
    fixed = {value.name for value in graph.input} | constants.keys() | outputs
    renamed: dict[str, str] = {}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        node.input[:] = [_now(name, renamed) for name in node.input]
        if node.op_type not in PASSING_ON or len(node.output) > 1:
            kept.append(node)
            continue
        _refuse_training(node, constants)
        source, result = node.input[0], node.output[0]
        if result not in outputs:
            renamed[result] = source
        elif source in fixed:
            kept.append(onnx.helper.make_node("Identity", [source], [result], name=node.name))
        else:
            _rename(kept, source, result)
            renamed[source] = result
            fixed.add(result)
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(nodes)


def _refuse_training(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> None:
    """Refuses a `Dropout` in training mode."""
    if node.op_type != "Dropout" or len(node.input) < 3 or not node.input[2]:
        return
    training = constants.get(node.input[2])
    if training is None or array_of(training).any():
        raise UnsupportedModelError(f"layer {node.name!r} is a Dropout in training mode: export the model in eval mode")


def _now(name: str, renamed: dict[str, str]) -> str:
    """The name of the value `name` after all renaming."""
    while name in renamed:
        name = renamed[name]
    return name


def _rename(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    """Renames the value `old` to `new`, in place."""
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
