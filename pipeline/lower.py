"""From the optimised graph and a config for each kernel to TVM's IRModule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import BuildError
from pipeline.graph.ir import ONNX, Graph, Node
from pipeline.graph.optimize import OptimizedModel
from pipeline.tasks import workload_of
from schedules.registry import Template, pack_inputs, packed_shapes, template_for
from schedules.space import Config
from schedules.target import Target
from schedules.workload import Workload

OPAQUE = 8
"""TVM's operator pattern for kernels that must not be fused with others."""


def lower(optimized: OptimizedModel, configs: Mapping[str, Config]) -> Any:
    """The IRModule of `optimized`: our kernels as PrimFuncs, the rest as Relax operators, ``main`` that runs them.

    Args:
        optimized: the graph.
        configs: for each task's name the config its kernel is built with.

    Raises:
        BuildError: when a kernel cannot be generated; names the layer.
    """
    if optimized.target.is_gpu:
        return _import_whole(optimized)
    return _Lowering(optimized.graph, optimized.target, configs).module()


def _import_whole(optimized: OptimizedModel) -> Any:
    from tvm.relax.frontend.onnx import from_onnx

    return from_onnx(optimized.model.normalized, keep_params_in_input=False)


class _Lowering:
    """Emits the graph node by node into a Relax function."""

    def __init__(self, graph: Graph, target: Target, configs: Mapping[str, Config]) -> None:
        from tvm import relax

        self.relax = relax
        self.graph, self.target, self.configs = graph, target, configs
        self.builder = relax.BlockBuilder()
        self.kernels: dict[str, Any] = {}
        self.constants: dict[tuple[str, str], Any] = {}
        self.values: dict[str, Any] = {}

    def module(self) -> Any:
        relax, graph = self.relax, self.graph
        parameters = [
            relax.Var(f"input_{i}", self._type(graph.values[name].physical_shape, graph.values[name].dtype))
            for i, name in enumerate(graph.inputs)
        ]
        self.values.update(zip(graph.inputs, parameters, strict=True))
        with self.builder.function("main", parameters):
            with self.builder.dataflow():
                for node in graph.nodes:
                    self._emit(node)
                outputs = [self._value(name) for name in graph.outputs]
                result = outputs[0] if len(outputs) == 1 else relax.Tuple(outputs)
                result = self.builder.emit_output(result)
            self.builder.emit_func_output(result)
        return self.builder.get()

    def _emit(self, node: Node) -> None:
        if node.op == ONNX:
            self._emit_onnx(node)
        elif node.op == "reshape":
            shape = self.graph.values[node.output].physical_shape
            value = self.relax.op.reshape(self._value(node.inputs[0]), shape)
            self.values[node.output] = self.builder.emit(value)
        else:
            self._emit_kernel(node)

    def _emit_kernel(self, node: Node) -> None:
        workload = workload_of(self.graph, node)
        try:
            template = template_for(workload, self.target)
            config = self.configs.get(workload.key) or template.default(workload, self.target)
            kernel = self._kernel(template, workload, config)
        except (LookupError, ValueError) as error:
            raise BuildError(f"layer {node.layers[0]!r}: no kernel could be generated: {error}") from error
        known = {i: self.graph.constants[name] for i, name in enumerate(node.inputs) if name in self.graph.constants}
        memory = pack_inputs(template, workload, self.target, config, known)
        packed = packed_shapes(template, workload, self.target, config)
        arguments = []
        for index, name in enumerate(node.inputs):
            if index in known:
                arguments.append(self._constant((name, f"{workload.key}:{index}"), memory[index]))
            else:
                assert index not in packed, f"{node.layers[0]}: input {index} is packed but not constant"
                have = self.graph.values[name].physical_shape
                arguments.append(self._shaped(self._value(name), have, workload.inputs[index]))
        made = self._type(workload.output.physical_shape, workload.output.dtype)
        value = self.builder.emit(self.relax.call_tir(kernel, self.relax.Tuple(arguments), made))
        stored = self.graph.values[node.output].physical_shape
        if stored != workload.output.physical_shape:
            value = self.builder.emit(self.relax.op.reshape(value, stored))
        self.values[node.output] = value

    def _shaped(self, value: Any, have: tuple[int, ...], tensor: Any) -> Any:
        want = tensor.physical_shape or (1,)
        return value if have == want else self.builder.emit(self.relax.op.reshape(value, want))

    def _kernel(self, template: Template, workload: Workload, config: Config) -> Any:
        if workload.key not in self.kernels:
            function = template.build(workload, self.target, config).with_attr("op_pattern", OPAQUE)
            self.kernels[workload.key] = self.builder.add_func(function, workload.key.replace("-", "_"))
        return self.kernels[workload.key]

    def _emit_onnx(self, node: Node) -> None:
        """Imports one ONNX node as a function of its own, which a later pass inlines."""
        module = import_node(self.graph, node)
        function = module["main"].without_attr("global_symbol")
        others = [variable for variable, _ in module.functions_items() if variable.name_hint != "main"]
        if others:
            names = ", ".join(variable.name_hint for variable in others)
            raise BuildError(f"layer {node.layers[0]!r} ({node.kind}): importing it made helper functions ({names})")
        variable = self.builder.add_func(function, f"layer_{len(self.values)}")
        arguments = [self._value(name) for name in _dynamic_inputs(self.graph, node)]
        value = self.builder.emit(self.relax.Call(variable, arguments))
        if len(node.outputs) == 1:
            self.values[node.output] = value
            return
        for index, name in enumerate(node.outputs):
            self.values[name] = self.builder.emit(self.relax.TupleGetItem(value, index))

    def _value(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        return self._constant((name, ""), self.graph.constants[name])

    def _constant(self, key: tuple[str, str], array: npt.NDArray[Any]) -> Any:
        if key not in self.constants:
            self.constants[key] = self.relax.const(np.ascontiguousarray(array), str(array.dtype))
        return self.constants[key]

    def _type(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self.relax.TensorType(shape, dtype)


def _dynamic_inputs(graph: Graph, node: Node) -> list[str]:
    """The inputs of a node that are no constants, each once, in order."""
    return list(dict.fromkeys(name for name in node.inputs if name and name not in graph.constants))


def import_node(graph: Graph, node: Node) -> Any:
    """The IRModule that TVM's importer makes of one ONNX node at fixed shapes.

    Raises:
        BuildError: when the importer refuses the node; names the layer.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tvm.relax.frontend.onnx import from_onnx

    assert node.proto is not None
    proto = onnx.NodeProto()
    proto.CopyFrom(node.proto)
    del proto.input[:], proto.output[:]
    proto.input.extend(node.inputs)
    proto.output.extend(node.outputs)

    def info(name: str) -> Any:
        tensor = graph.tensor(name)
        kind: int = helper.np_dtype_to_tensor_dtype(np.dtype(tensor.dtype)) or TensorProto.FLOAT
        return helper.make_tensor_value_info(name, kind, tensor.shape)

    known = [name for name in dict.fromkeys(node.inputs) if name in graph.constants]
    model = helper.make_model(
        helper.make_graph(
            [proto],
            "node",
            [info(name) for name in _dynamic_inputs(graph, node)],
            [info(name) for name in node.outputs],
            [numpy_helper.from_array(graph.constants[name], name) for name in known],
        ),
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=10,
    )
    try:
        return from_onnx(model, keep_params_in_input=False)
    # TVM's importer raises whatever its asserts and C++ side raise; all of it means that the node is not supported.
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise BuildError(
            f"layer {node.layers[0]!r} ({node.kind}): TVM's importer refuses it: {reason[-1] if reason else error!r}"
        ) from error
