"""The precision in which the user wants a model: a quantised one also as the float network that it describes.

That network rounds nothing, and its weights are dequantised. A value between QuantizeLinear and DequantizeLinear keeps
the range that its integers have: quantisers leave out a ReLU where the range begins at zero.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.errors import UnsupportedModelError, UsageError
from tvmopt.pipeline.importers.load import finished
from tvmopt.pipeline.types import ImportedModel, Precision

if TYPE_CHECKING:
    import onnx

Array = npt.NDArray[Any]

CLIP_OPSET = 11
"""The first opset in which the bounds of Clip are operands."""

_RANGES = {"uint8": (0, 255), "int8": (-128, 127), "uint16": (0, 65535), "int16": (-32768, 32767)}


def in_precision(
    model: ImportedModel, precision: Precision, inputs: Mapping[str, np.ndarray] | None = None
) -> ImportedModel:
    """`model` in a precision.

    Args:
        model: an imported model; with `original` for ``fp32``.
        precision: one of `PRECISIONS`.
        inputs: an array for each input that the model runs on; random ones when None.

    Raises:
        UsageError: ``int8`` is wanted of a model that is not quantised.
        UnsupportedModelError: as `in_floats`.
    """
    if precision == "fp32":
        return in_floats(model, inputs)
    if precision == "int8":
        kinds = {node.op_type for graph in (model.original.graph, model.normalized.graph) for node in graph.node}
        if kinds.isdisjoint({"QuantizeLinear", *_others()}):
            raise UsageError(
                f"{model.source.spec}: not quantised, so --precision int8 has nothing to run; quantise it first"
            )
    return model


def in_floats(model: ImportedModel, inputs: Mapping[str, np.ndarray] | None = None) -> ImportedModel:
    """The float network that `model` describes; one that is not quantised stays as it is.

    Args:
        model: an imported model, with `original`.
        inputs: an array for each input that the model runs on.

    Raises:
        UnsupportedModelError: the model is not in QDQ form, or a scale is not constant; names the layer.
    """
    import onnx

    from tvmopt.pipeline.importers.onnx_form.operators import all_nodes

    others = _others()
    for node in all_nodes(model.original.graph.node):
        if node.op_type in others:
            raise UnsupportedModelError(
                f"layer {node.name!r} ({node.op_type}): only models in QDQ form run as floats; try --precision auto"
            )
    floats = onnx.ModelProto()
    floats.CopyFrom(model.original)
    if not _Dequantized(floats).run():
        return model
    return replace(finished(model.source, floats, inputs), checked_against="")


def _others() -> frozenset[str]:
    """Operators of quantised models that are not in QDQ form."""
    from tvmopt.pipeline.importers.onnx_form.operators import QUANTIZED_FORMS

    own = ("DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
    return QUANTIZED_FORMS.union(own) - {"QuantizeLinear", "DequantizeLinear"}


class _Dequantized:
    """Changes a graph in QDQ form."""

    def __init__(self, model: onnx.ModelProto) -> None:
        from onnx import numpy_helper

        from tvmopt.pipeline.importers.onnx_form.operators import names_read, standard_opset

        self.model = model
        self.clips = standard_opset(model) >= CLIP_OPSET
        self.graph = graph = model.graph
        self.changed = False
        self.constants: dict[str, Array] = {}
        for tensor in graph.initializer:
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].HasField("t"):
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.producers = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in names_read(node):
                self.readers[name].append(node)
        self.made: dict[str, Array] = {}

    def run(self) -> bool:
        """Replaces what can be replaced; returns whether the model was quantised."""
        from onnx import numpy_helper

        from tvmopt.pipeline.importers.onnx_form.operators import names_read

        nodes = [made for node in self.graph.node for made in self._replaced(node)]
        if not self.changed:
            return False
        kept = _reachable(nodes, [value.name for value in self.graph.output])
        copies = [_copy(node) for node in kept]
        del self.graph.node[:]
        self.graph.node.extend(copies)
        read = {name for node in kept for name in names_read(node)} | {value.name for value in self.graph.output}
        stored = [tensor for tensor in self.graph.initializer if tensor.name in read and tensor.name not in self.made]
        made = [numpy_helper.from_array(array, name) for name, array in self.made.items() if name in read]
        stored = [_copy(tensor) for tensor in stored]
        del self.graph.initializer[:]
        self.graph.initializer.extend([*stored, *made])
        del self.graph.value_info[:]
        return True

    def _replaced(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The nodes that take the place of `node`."""
        if node.op_type == "DequantizeLinear":
            if node.input[0] in self.constants:
                self.made[node.output[0]] = self._real(node, self.constants[node.input[0]])
                self.changed = True
                return
            source = self.producers.get(node.input[0])
            if source is not None and self._is_range(source):
                self.changed = True
                yield from self._limited(source, node)
                return
        yield node

    def _is_range(self, node: onnx.NodeProto) -> bool:
        """Whether a QuantizeLinear is only read by DequantizeLinears of the same scale."""
        if node.op_type != "QuantizeLinear" or node.output[0] in {value.name for value in self.graph.output}:
            return False
        readers = self.readers[node.output[0]]
        own = self._scale(node)
        return (
            own is not None
            and own[1].dtype.name in _RANGES
            and all(reader.op_type == "DequantizeLinear" and _same(own, self._scale(reader)) for reader in readers)
        )

    def _scale(self, node: onnx.NodeProto) -> tuple[Array, Array, int] | None:
        """Scale, zero point and axis; None where they are not constant, or scales are of blocks."""
        import onnx

        values = {attribute.name: attribute.i for attribute in node.attribute}
        scale = self.constants.get(node.input[1])
        given = node.input[2] if len(node.input) > 2 else ""
        kind = onnx.helper.tensor_dtype_to_np_dtype(values.get("output_dtype") or onnx.TensorProto.UINT8)
        zero = self.constants.get(given) if given else None if scale is None else np.zeros(scale.shape, kind)
        if scale is None or zero is None or values.get("block_size"):
            return None
        return scale, zero, values.get("axis", 1)

    def _real(self, node: onnx.NodeProto, integers: Array) -> Array:
        """The floats that a constant stands for.

        Raises:
            UnsupportedModelError: its scale is not constant.
        """
        found = self._scale(node)
        if found is None:
            raise UnsupportedModelError(
                f"layer {node.name!r} (DequantizeLinear): its scale is not one for each channel"
            )
        scale, zero, axis = found
        shape = _along(integers.ndim, scale, axis)
        offset = integers.astype(np.int64) - zero.astype(np.int64).reshape(shape if zero.size > 1 else ())
        return np.asarray(offset.astype(np.float32) * scale.reshape(shape if scale.size > 1 else ()), scale.dtype)

    def _limited(self, quantize: onnx.NodeProto, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The value before `quantize` in the range of its integers, under the name that `node` gives it."""
        from onnx import helper

        found = self._scale(quantize)
        assert found is not None
        scale, zero, axis = found
        low, high = _RANGES[zero.dtype.name]
        name = node.output[0]
        bounds = []
        for word, bound in (("low", low), ("high", high)):
            limit = (bound - zero.astype(np.int64)).astype(np.float32) * scale
            if limit.size > 1:
                limit = limit.reshape(_along(self._rank(quantize), limit, axis))
            self.made[f"{name}_{word}"] = np.asarray(limit if limit.size > 1 else limit.reshape(()), scale.dtype)
            bounds.append(f"{name}_{word}")
        if scale.size == 1 and self.clips:
            yield helper.make_node("Clip", [quantize.input[0], *bounds], [name], node.name or name)
            return
        yield helper.make_node("Max", [quantize.input[0], bounds[0]], [f"{name}_above"], f"{node.name or name}_above")
        yield helper.make_node("Min", [f"{name}_above", bounds[1]], [name], node.name or name)

    def _rank(self, node: onnx.NodeProto) -> int:
        """The dimensions of what a QuantizeLinear reads."""
        graph = self.inferred.graph
        values = (*graph.value_info, *graph.input, *graph.output)
        found = (value for value in values if value.name in (node.input[0], node.output[0]))
        return next(len(value.type.tensor_type.shape.dim) for value in found)

    @functools.cached_property
    def inferred(self) -> onnx.ModelProto:
        """The model with the shapes that follow."""
        from tvmopt.pipeline.importers.onnx_form.normalize import infer_shapes

        return infer_shapes(self.model)


def _same(one: tuple[Array, Array, int], other: tuple[Array, Array, int] | None) -> bool:
    if other is None:
        return False
    alike = one[2] == other[2] or one[0].size == 1
    return alike and np.array_equal(one[0], other[0]) and np.array_equal(one[1], other[1])


def _along(rank: int, values: Array, axis: int) -> tuple[int, ...]:
    """The shape of `values` along an axis of a tensor of some rank."""
    return tuple(values.size if place == axis % rank else 1 for place in range(rank)) if rank else ()


def _reachable(nodes: Sequence[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Those of `nodes`, in order, on which an output depends."""
    from tvmopt.pipeline.importers.onnx_form.operators import names_read

    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted |= names_read(node)
    return kept[::-1]


def _copy(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied
