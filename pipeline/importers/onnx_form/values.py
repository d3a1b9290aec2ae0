"""Checks the values of a normalised model: each must be a tensor of static shape and supported dtype."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from tvmopt.pipeline.errors import UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of
from tvmopt.pipeline.types import TensorSpec

DTYPES = (
    *("float16", "float32", "float64"),
    *("int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
    "bool",
)
"""Element types, as numpy spells them, that a value may have."""

SIZE_ADVICE = {
    "NonMaxSuppression": "cut the model before it and select boxes in your own code, or let ScatterND mark the boxes "
    "in an array as large as the scores, and TopK choose a fixed number of them",
}
"""What to do about operators whose results have sizes that depend on data."""


def advice_on_size(layer: str) -> str:
    """What to do about the size of a layer's result, as `value_faults` names the layer; empty if nothing is known."""
    return next((advice for kind, advice in SIZE_ADVICE.items() if layer.endswith(f"({kind})")), "")


def tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    """Name, shape and dtype of `value`.

    Raises:
        UnsupportedModelError: it is not a tensor, its shape is not static, a size is 0, or its dtype is not supported.
    """
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        what = "of unknown type" if kind is None else f"a {kind.removesuffix('_type')}"
        raise UnsupportedModelError(f"value {value.name!r} is {what}: only tensors are supported")
    tensor = value.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    if not tensor.HasField("shape") or any(size < 0 for size in dims):
        raise UnsupportedModelError(
            f"the size of value {value.name!r} depends on the data: only static shapes are supported"
        )
    return TensorSpec(value.name, tuple(dims), dtype_name(tensor.elem_type, value.name))


def dtype_name(elem_type: int, value: str) -> str:
    """Numpy's name of an ONNX element type.

    Raises:
        UnsupportedModelError: values of this type, such as strings, are not supported; names `value`.
    """
    if elem_type not in onnx.TensorProto.DataType.values() or elem_type == onnx.TensorProto.UNDEFINED:
        raise UnsupportedModelError(f"value {value!r} has the unknown element type {elem_type}")
    name = str(onnx.helper.tensor_dtype_to_np_dtype(elem_type).name)
    if name not in DTYPES:
        spelled = onnx.TensorProto.DataType.Name(elem_type).lower()
        raise UnsupportedModelError(f"value {value!r} has element type {spelled}; supported are {', '.join(DTYPES)}")
    return name


def check_values(graph: onnx.GraphProto) -> None:
    """Checks every value that `graph` stores or computes.

    Raises:
        UnsupportedModelError: one of them is not supported; names it and its layer.
    """
    for layer, fault in value_faults(graph):
        advice = advice_on_size(layer)
        told = f"{fault}; {advice}" if advice else fault
        raise UnsupportedModelError(f"at layer {layer}: {told}" if layer else told)


def value_faults(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    """Finds every unsupported value that `graph` stores or computes.

    Yields:
        The layer that computes it, with its operator (``'conv1' (Conv)``; empty for a constant), and what is wrong.
    """
    for tensor in graph.initializer:
        try:
            dtype_name(tensor.data_type, tensor.name)
        except UnsupportedModelError as error:
            yield "", str(error)
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    for node in graph.node:
        for name in filter(None, node.output):
            try:
                tensor_spec(known.get(name, onnx.ValueInfoProto(name=name)))
            except UnsupportedModelError as error:
                yield f"{layer_of(node)!r} ({node.op_type})", str(error)
