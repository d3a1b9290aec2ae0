"""Normalises an ONNX model with static inputs: makes it plain, typed and fully named, as our passes need it.

1. Operators of onnxruntime's own domain are written with ONNX's, and functions are inlined.
2. Old operator versions are converted; operators of quantised values are written in QDQ form.
3. onnxruntime's basic optimisation folds constants, BatchNorm and shape arithmetic; operators that nothing behind us
   takes are written out in others, until none is left.
4. The remaining operators are checked.
5. Constants become initialisers, and nodes that only pass a value on are removed.
6. Every value gets a static shape, every node a name and its layer.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnx.shape_inference

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.building.counted.count import count_sizes
from tvmopt.pipeline.importers.onnx_form.building.suppression import mark_selected_boxes
from tvmopt.pipeline.importers.onnx_form.cleanup import clean_graph
from tvmopt.pipeline.importers.onnx_form.constants.constant_nodes import constants_to_initializers
from tvmopt.pipeline.importers.onnx_form.constants.fold import fold_constants
from tvmopt.pipeline.importers.onnx_form.inline import inline
from tvmopt.pipeline.importers.onnx_form.layer_names import name_nodes, record_layers
from tvmopt.pipeline.importers.onnx_form.loops import write_out_loops
from tvmopt.pipeline.importers.onnx_form.operators import (
    STANDARD_DOMAINS,
    WRITTEN_OUT,
    check_known,
    check_operators,
    standard_opset,
)
from tvmopt.pipeline.importers.onnx_form.plain_forms.check_scales import check_scales
from tvmopt.pipeline.importers.onnx_form.plain_forms.floats import write_plainly
from tvmopt.pipeline.importers.onnx_form.plain_forms.quantized import write_in_floats
from tvmopt.pipeline.importers.onnx_form.rewrites.rewrite import rewrite
from tvmopt.pipeline.importers.onnx_form.upgrade import upgrade
from tvmopt.pipeline.importers.onnx_form.values import check_values
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.support.onnxruntime import open_session
from tvmopt.pipeline.support.weights.light_model import park, without_weights
from tvmopt.pipeline.support.weights.parked import folder_of, take_in

_MOST_ROUNDS = 10
"""How often rules are applied: what one writes out, another may take."""

METADATA_IR = 10
"""The first IR version in which a node has `metadata_props`."""


def normalize(original: onnx.ModelProto) -> onnx.ModelProto:
    """The same function as `original` in normal form.

    Args:
        original: a checked model with static inputs and named nodes; is not changed.

    Returns:
        A model with standard operators only, each of them supported; no `Constant`, `Dropout` or `Identity` (except an
        `Identity` where an output repeats an input, a constant or an output); a static shape and dtype for every value;
        a unique name for every node, and its layer in `original` (`layer_names.layer_of`).

    Raises:
        UnsupportedModelError: unsupported operators (all of them are listed), a value whose size depends on data, an
            unsupported dtype, or layers that do not fit each other at these shapes.
    """
    check_known(original)
    check_scales(original)
    prepared = prepare(original)
    try:
        optimized = optimize(prepared)
    except UnsupportedModelError:
        check_operators(prepared, WRITTEN_OUT)  # if this is the reason, its error says more than onnxruntime's
        raise
    check_operators(optimized)
    inferred = finish(optimized, original)
    check_values(inferred.graph)
    return inferred


def simplified(original: onnx.ModelProto) -> onnx.ModelProto:
    """The same function as `original` for other tools: plain operators, constants and BatchNorm folded, values typed.

    Operators that only our own kernels need in another form stay as they are, and so do the model's outputs.

    Args:
        original: a checked model with static inputs and named nodes; is not changed.

    Raises:
        UnsupportedModelError: operators that ONNX does not define, or layers that do not fit each other.
    """
    check_known(original)
    model = _optimized(prepare(original))
    constants_to_initializers(model.graph)
    name_nodes(model.graph.node)
    return model


def prepare(original: onnx.ModelProto) -> onnx.ModelProto:
    """`original` in plain operators: functions inlined, others' operators rewritten, old ones converted if possible.

    Raises:
        UnsupportedModelError: the model's own functions cannot be inlined.
    """
    return write_in_floats(upgrade(inline(write_plainly(original))))


def optimize(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` after onnxruntime's basic optimisation, with the operators written out that `rewrites` has rules for.

    It stays unoptimised if that uses operators that ONNX does not define.

    Raises:
        UnsupportedModelError: onnxruntime refuses it, or layers do not fit each other.
    """
    for _ in range(_MOST_ROUNDS):
        model = _optimized(model)
        rewritten = write_out_loops(model) if _has_subgraphs(model) else rewrite(model)
        if rewritten is None:
            break
        model = rewritten
        for output in model.graph.output:
            # Shapes follow from the new nodes; for some of those before, ONNX infers wrong ones.
            output.type.tensor_type.ClearField("shape")
    return model


def _optimized(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` after onnxruntime's basic optimisation, if possible, with constants folded and shapes inferred."""
    optimized = _optimized_at(model, "ORT_ENABLE_BASIC")
    if not is_standard(optimized):
        optimized = _optimized_at(model, "ORT_DISABLE_ALL")
    inferred = infer_shapes(optimized)
    fold_constants(inferred)
    return inferred


def _has_subgraphs(model: onnx.ModelProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute)


def finish(optimized: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Tidies `optimized`, in place, and returns it with the layers of `original` and all shapes that can be inferred.

    Sizes that depend on data become rooms of static size and counts.

    Raises:
        UnsupportedModelError: an unsupported constant, layers that do not fit each other, or one that does not take a
            value whose size depends on data.
    """
    clean_graph(optimized)
    mark_selected_boxes(optimized)
    optimized = count_sizes(optimized)
    optimized.ir_version = max(optimized.ir_version, METADATA_IR)
    record_layers(optimized.graph, original.graph)
    return infer_shapes(optimized)


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, changed in place: with the shape and dtype of every value where they can be inferred.

    Raises:
        UnsupportedModelError: layers do not fit each other.
    """
    try:
        light = without_weights(model)  # it is copied several times
        inferred = onnx.shape_inference.infer_shapes(light, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise UnsupportedModelError(f"the model's layers do not fit each other: {one_line(error)}") from error
    for values, found in (
        (model.graph.value_info, inferred.graph.value_info),
        (model.graph.output, inferred.graph.output),
    ):
        del values[:]
        values.extend(found)
    return model


def _optimized_at(model: onnx.ModelProto, level: str) -> onnx.ModelProto:
    """`model` as onnxruntime optimises it at `level`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        open_session(model, level, save_to=path)
        park_folder = folder_of(model)
        optimized = onnx.load(path, load_external_data=park_folder is None)
        if park_folder is not None:
            take_in(optimized, path.parent, park_folder)
            optimized = park(optimized, park_folder)
    used = {node.domain for node in optimized.graph.node}
    opsets = [entry for entry in optimized.opset_import if entry.domain in used or entry.domain in STANDARD_DOMAINS]
    del optimized.opset_import[:]
    optimized.opset_import.extend(opsets)
    return optimized


def is_standard(model: onnx.ModelProto) -> bool:
    """Whether ONNX defines every operator of `model` at the model's opset."""
    opset = standard_opset(model)
    return all(
        node.domain in STANDARD_DOMAINS and onnx.defs.has(node.op_type, max_inclusive_version=opset, domain="")
        for node in model.graph.node
    )
