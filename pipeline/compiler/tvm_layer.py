"""One layer that no template takes, lowered by TVM's own ONNX importer; the importer is not trusted.

It drops outputs, ignores attributes and mistakes operators for others. So its outputs must have the shapes that ONNX
gives them (`import_layer`), and `pipeline.compiler.check_layers` compares the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.ir import Graph, Node
from tvmopt.pipeline.support.messages import one_line
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class OnnxLayer:
    """A layer as TVM's importer made it.

    Attributes:
        module: its ``main`` is a Relax function whose parameters are `dynamic_inputs` and whose result is one tensor or
            a tuple of them; its other functions are PrimFuncs that ``main`` calls.
        dtypes: dtypes of the results; they may differ from ONNX's, so the caller must cast the results.
    """

    module: Any
    dtypes: tuple[str, ...]

    @property
    def function(self) -> Any:
        """The Relax function, ready to become part of another module."""
        return self.module["main"].without_attr("global_symbol")

    @property
    def helpers(self) -> dict[str, Any]:
        """The PrimFuncs that `function` calls, by name."""
        functions = {variable.name_hint: function for variable, function in self.module.functions_items()}
        del functions["main"]
        return functions


LARGE_BYTES = 1 << 20
"""A larger constant that a layer reads where it lies is passed to the layer like an input (`passed_constants`)."""

_READS = {"Gather": (0,), "GatherElements": (0,), "GatherND": (0,), "Add": (0, 1), "Mul": (0, 1), "Sub": (0, 1)}
"""Inputs that these operators read where they lie, so that nothing of them could be computed ahead of time."""


def dynamic_inputs(graph: Graph, node: Node) -> list[str]:
    """The inputs of a node that are not constants, each once, in order."""
    return list(dict.fromkeys(name for name in node.inputs if name and name not in graph.constants))


def passed_constants(graph: Graph, node: Node) -> list[str]:
    """The constants that a layer, lowered on its own, gets like inputs, after `dynamic_inputs`; each once, in order.

    Neither compiling nor checking such a layer then depends on the constant, which may be the largest part of a model:
    it is neither copied nor hashed, and its bytes never enter TVM.
    """
    named = (node.inputs[place] for place in _READS.get(node.kind, ()))
    return [name for name in dict.fromkeys(named) if name in graph.constants and _is_large(graph.constants[name])]


def _is_large(array: np.ndarray) -> bool:
    return array.nbytes > LARGE_BYTES


def node_model(graph: Graph, node: Node, passed: Sequence[str] = ()) -> onnx.ModelProto:
    """An ONNX model of one node: its dynamic inputs are the model's, its constants initialisers.

    Args:
        graph: the graph of `node`.
        node: an operator of ONNX.
        passed: constants that are inputs of the model, too.
    """
    import onnx
    from onnx import helper, numpy_helper

    assert node.proto is not None
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    # Passes may have renamed a node's inputs and outputs; an absent output keeps its place.
    made = iter(node.outputs)
    results = [next(made) if name else "" for name in proto.output]
    del proto.input[:], proto.output[:]
    proto.input.extend(node.inputs)
    proto.output.extend(results)

    def info(name: str) -> onnx.ValueInfoProto:
        tensor = graph.tensor(name)
        return helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)), tensor.shape
        )

    known = [name for name in dict.fromkeys(node.inputs) if name in graph.constants and name not in passed]
    return helper.make_model(
        helper.make_graph(
            [proto],
            "layer",
            [info(name) for name in (*dynamic_inputs(graph, node), *passed)],
            [info(name) for name in node.outputs],
            [numpy_helper.from_array(graph.constants[name], name) for name in known],
        ),
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=10,
    )


_ISNAN_SINCE = 9
"""The first version of ONNX's operators that has IsNaN."""

_CLIP_TAKES_BOUNDS_SINCE = 11
"""The first version in which the bounds of Clip are inputs."""

_LOSES_NAN = ("Clip", "Max", "Min", "Relu", "Sign")
"""Operators of which TVM makes comparisons and selections, so that NaN becomes a number."""


def _keeping_nan(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model`, of one layer, with NaN where TVM would lose it: the operand itself where it is NaN."""
    from onnx import TensorProto, helper

    (node,) = model.graph.node
    kinds = {value.name: value.type.tensor_type.elem_type for value in model.graph.input}
    floats = (TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE)
    compared = node.input if node.op_type in ("Max", "Min") else node.input[:1]
    names = [name for name in dict.fromkeys(compared) if kinds.get(name) in floats]
    if node.op_type not in _LOSES_NAN or not names or model.opset_import[0].version < _ISNAN_SINCE:
        return model
    if node.op_type == "Clip":
        _give_bounds(model, kinds[node.input[0]])
    result = node.output[0]
    node.output[0] = made = f"{result}_compared"
    for index, name in enumerate(names):
        flag, selected = f"{result}_nan{index}", result if index == len(names) - 1 else f"{result}_selected{index}"
        model.graph.node.append(helper.make_node("IsNaN", [name], [flag]))
        model.graph.node.append(helper.make_node("Where", [flag, name, made], [selected]))
        made = selected
    return model


def _give_bounds(model: onnx.ModelProto, kind: int) -> None:
    """Gives a Clip of floats the bounds that it lacks: the last finite numbers, for which TVM takes infinities."""
    from onnx import helper, numpy_helper

    (node,) = model.graph.node
    if model.opset_import[0].version < _CLIP_TAKES_BOUNDS_SINCE:
        return
    limits = np.finfo(helper.tensor_dtype_to_np_dtype(kind))
    node.input.extend([""] * (3 - len(node.input)))
    for place, limit in ((1, limits.min), (2, limits.max)):
        if not node.input[place]:
            node.input[place] = f"{node.input[0]}_limit{place}"
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(limit), node.input[place]))


def import_layer(graph: Graph, node: Node) -> OnnxLayer:
    """One node as TVM's importer lowers it, at fixed shapes.

    Raises:
        BuildError: when the importer refuses the node, or its outputs have other shapes; names the layer.
    """
    from tvm.relax.frontend.onnx import from_onnx

    where = f"layer {node.layers[0]!r} ({node.kind})"
    try:
        if node.kind == "BitCast":
            module = _bit_cast(graph.tensor(node.inputs[0]), graph.tensor(node.output).dtype)
        else:
            module = from_onnx(_keeping_nan(node_model(graph, node)), keep_params_in_input=False)
    # TVM's importer lets any exception of its asserts and C++ side through; each means that the node is not supported.
    except Exception as error:
        raise BuildError(f"{where}: TVM's importer refuses it: {one_line(error)}") from error
    wanted = [graph.tensor(name) for name in node.outputs]
    made = _tensors(module["main"].ret_ty)
    if [tensor.shape for tensor in made] != [tensor.shape for tensor in wanted]:
        have, expected = (", ".join(f"{t.dtype}{list(t.shape)}" for t in tensors) for tensors in (made, wanted))
        raise BuildError(f"{where}: TVM's importer outputs {have or 'no static shapes'} where ONNX has {expected}")
    return OnnxLayer(module, tuple(tensor.dtype for tensor in made))


def schedule_layer(graph: Graph, node: Node, target: Target) -> tuple[OnnxLayer, Any]:
    """One node as TVM's importer lowers it, and the module of its kernels, scheduled for `target` on its own.

    Raises:
        BuildError: when the importer or TVM's lowering refuses the node; names the layer.
    """
    from tvmopt.pipeline.compiler import build

    layer = import_layer(graph, node)
    try:
        return layer, build.schedule(layer.module, target)
    # Any exception from TVM here means that this layer cannot be compiled.
    except Exception as error:
        raise BuildError(f"layer {node.layers[0]!r} ({node.kind}) cannot be compiled: {one_line(error)}") from error


def _bit_cast(tensor: Tensor, dtype: str) -> Any:
    """A module whose ``main`` takes a tensor's bits for those of `dtype`; TVM's importer has no such operator."""
    from tvm import relax, te, tirx

    builder = relax.BlockBuilder()
    data = relax.Var("data", relax.TensorType(tensor.shape, tensor.dtype))

    def bit_cast(data: Any) -> Any:
        # A boolean has one bit in a register, and eight in memory.
        cast = "bool" in (tensor.dtype, dtype)
        return te.compute(
            data.shape,
            lambda *at: data(*at).astype(dtype) if cast else tirx.reinterpret(dtype, data(*at)),
            "bit_cast",
        )

    with builder.function("main", [data]):
        with builder.dataflow():
            result = builder.emit_output(builder.emit_te(bit_cast, data))
        builder.emit_func_output(result)
    return builder.get()


def _tensors(made: Any) -> list[Tensor]:
    """The tensors of a Relax type; none when one of them has no static shape."""
    from tvm import relax, tirx

    tensors = []
    for one in made.fields if isinstance(made, relax.TupleType) else [made]:
        shape = getattr(one, "shape", None)
        sizes: list[Any] = list(shape.values) if isinstance(shape, relax.ShapeExpr) else [None]
        if any(not isinstance(size, tirx.IntImm) or int(size) < 1 for size in sizes):
            return []
        tensors.append(Tensor(tuple(int(size) for size in sizes), str(one.dtype)))
    return tensors
