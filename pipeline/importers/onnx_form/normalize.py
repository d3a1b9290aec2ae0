"""Normalises an ONNX model with static inputs: makes it plain, typed and fully named, as our passes need it.

1. Functions are inlined.
2. Old operator versions are converted.
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
import onnx.inliner
import onnx.shape_inference
import onnx.version_converter

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.cleanup import clean_graph
from tvmopt.pipeline.importers.onnx_form.fold import fold_constants
from tvmopt.pipeline.importers.onnx_form.layer_names import record_layers
from tvmopt.pipeline.importers.onnx_form.operators import (
    STANDARD_DOMAINS,
    WRITTEN_OUT,
    check_known,
    check_operators,
    standard_opset,
    supported_operators,
)
from tvmopt.pipeline.importers.onnx_form.rewrites.rewrite import rewrite
from tvmopt.pipeline.importers.onnx_form.values import check_values
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.support.onnxruntime import open_session

OLDEST_OPSET = 13
"""Older models are converted to this operator set; from it on, most operators take shapes and axes as inputs."""

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


def prepare(original: onnx.ModelProto) -> onnx.ModelProto:
    """`original` with functions inlined, and converted to `OLDEST_OPSET` if it is older and that is possible.

    Raises:
        UnsupportedModelError: the model's own functions cannot be inlined.
    """
    return _upgrade(_inline(original))


def optimize(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` after onnxruntime's basic optimisation, with the operators written out that `rewrites` has rules for.

    It stays unoptimised if that uses operators that ONNX does not define.

    Raises:
        UnsupportedModelError: onnxruntime refuses it, or layers do not fit each other.
    """
    for _ in range(_MOST_ROUNDS):
        model = _optimized(model)
        rewritten = rewrite(model) if not _has_subgraphs(model) else None
        if rewritten is None:
            break
        model = rewritten
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

    Raises:
        UnsupportedModelError: an unsupported constant, or layers that do not fit each other.
    """
    clean_graph(optimized)
    optimized.ir_version = max(optimized.ir_version, METADATA_IR)
    record_layers(optimized.graph, original.graph)
    return infer_shapes(optimized)


def infer_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the shape and dtype of every value where they can be inferred.

    Raises:
        UnsupportedModelError: layers do not fit each other.
    """
    try:
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise UnsupportedModelError(f"the model's layers do not fit each other: {one_line(error)}") from error


def _inline(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` without functions: inlines its own, and unsupported operators that ONNX defines by others."""
    if model.functions:
        try:
            model = onnx.inliner.inline_local_functions(model, convert_version=True)
        except (RuntimeError, ValueError) as error:
            raise UnsupportedModelError(f"the model's own functions cannot be inlined: {one_line(error)}") from error
    opset = standard_opset(model)
    foreign = {node.op_type for node in model.graph.node if node.domain in STANDARD_DOMAINS} - supported_operators()
    defined = [("", name) for name in sorted(foreign) if _has_definition(name, opset)]
    if not defined:
        return model
    return onnx.inliner.inline_selected_functions(_with_types(model), defined, inline_schema_functions=True)


def _with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the types of its values: functions that depend on types are inlined by them."""
    typed = onnx.ModelProto()
    typed.CopyFrom(model)
    listed = {value.name for value in (*model.graph.input, *model.graph.value_info)}
    for tensor in model.graph.initializer:
        if tensor.name not in listed:
            typed.graph.value_info.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return typed


def _has_definition(operator: str, opset: int) -> bool:
    """Whether ONNX defines `operator` by other operators."""
    if not onnx.defs.has(operator, max_inclusive_version=opset, domain=""):
        return False
    schema = onnx.defs.get_schema(operator, max_inclusive_version=opset, domain="")
    return any(getattr(schema, kind) for kind in ("has_function", "has_context_dependent_function"))


def _upgrade(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` converted to `OLDEST_OPSET` if it is older; unchanged where the conversion is not possible."""
    if standard_opset(model) >= OLDEST_OPSET:
        return model
    try:
        return onnx.version_converter.convert_version(model, OLDEST_OPSET)
    except (RuntimeError, ValueError):  # an operator without adapter: onnxruntime and TVM know the old versions too
        return model


def _optimized_at(model: onnx.ModelProto, level: str) -> onnx.ModelProto:
    """`model` as onnxruntime optimises it at `level`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        open_session(model, level, save_to=path)
        optimized = onnx.load(path, load_external_data=False)
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
