"""Gives results whose size depends on data rooms of static size, with the true size beside them."""

from __future__ import annotations

import json

import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.building.counted.carry import carry
from tvmopt.pipeline.importers.onnx_form.building.counted.functions import ORIGINS, functions
from tvmopt.pipeline.importers.onnx_form.building.counted.sources import SOURCES
from tvmopt.pipeline.importers.onnx_form.building.counted.types import Counted
from tvmopt.pipeline.importers.onnx_form.building.suppression import DOMAIN
from tvmopt.pipeline.importers.onnx_form.operators import STANDARD_DOMAINS
from tvmopt.pipeline.importers.onnx_form.rewrites.draft import Draft, NotKnownError
from tvmopt.pipeline.support.weights.light_model import copy_without
from tvmopt.pipeline.types import CUTS_KEY, Cut

_OLDEST = 13
"""The first version of ONNX's operators that the functions can be written in."""


def count_sizes(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with every value of static size.

    An output whose size depends on data becomes two, its room and how much of that it is; `cuts_of` says which.

    Args:
        model: tidied, with inferred types; is not changed. It is returned as it is if it needs nothing, or where a size
            depends on data in a way that nothing here takes: the check of values then names the layer.

    Raises:
        UnsupportedModelError: a layer does not take a value whose size is found at run time.
    """
    chosen = [node for node in model.graph.node if node.op_type in SOURCES and node.domain in STANDARD_DOMAINS]
    draft = Draft(model)
    if not chosen or draft.opset < _OLDEST:
        return model
    counted: dict[str, Counted] = {}
    for node in model.graph.node:
        draft.begin(node)
        takes = next((name for name in node.input if name in counted), None)
        nodes = len(draft.nodes)
        try:
            if takes is not None:
                counted |= carry(draft, node, counted)
            elif node.op_type in SOURCES and node.domain in STANDARD_DOMAINS:
                counted |= SOURCES[node.op_type](draft, node)
            else:
                draft.keep(node)
        except NotKnownError:
            if takes is not None:
                raise UnsupportedModelError(
                    f"layer {node.name!r} ({node.op_type}): the size of its input {takes!r} depends on the data, which "
                    "it does not take; cut the model before it"
                ) from None
            del draft.nodes[nodes:]
            draft.keep(node)
    return _written(model, draft, counted)


def _written(model: onnx.ModelProto, draft: Draft, counted: dict[str, Counted]) -> onnx.ModelProto:
    made = copy_without(model, ("node", "initializer", "value_info", "output"))
    made.graph.node.extend(draft.nodes)
    made.graph.initializer.extend(draft.initializers.values())
    cuts: list[Cut] = []
    counts: dict[str, onnx.ValueInfoProto] = {}
    for output in model.graph.output:
        value = counted.get(output.name)
        if value is None:
            made.graph.output.append(output)
            continue
        element = output.type.tensor_type.elem_type
        made.graph.output.append(onnx.helper.make_tensor_value_info(value.room, element, value.shape))
        counts[value.count] = onnx.helper.make_tensor_value_info(value.count, onnx.TensorProto.INT64, (1,))
        cuts.append(Cut(output.name, value.room, value.axis, value.count))
    made.graph.output.extend(counts.values())
    if any(node.op_type in ORIGINS for node in made.graph.node):
        known = {function.name for function in made.functions}
        made.functions.extend(function for function in functions(draft.opset) if function.name not in known)
        if all(entry.domain != DOMAIN for entry in made.opset_import):
            made.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    if cuts:
        made.metadata_props.add(key=CUTS_KEY, value=json.dumps([cut.to_json() for cut in cuts]))
    return made
