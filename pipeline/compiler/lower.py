"""From the optimised graph and a config for each kernel to TVM's IRModule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.compiler.tvm_layer import dynamic_inputs, import_layer
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.ir import ONNX, Graph, Node
from tvmopt.pipeline.graph.optimize import OptimizedModel
from tvmopt.pipeline.tasks.extract import workload_of
from tvmopt.schedules.registry import Template, has_templates, pack_inputs, packed_shapes, template_for
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

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
    if not has_templates(optimized.target):
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
        want = tensor.physical_shape
        return value if have == want else self.builder.emit(self.relax.op.reshape(value, want))

    def _kernel(self, template: Template, workload: Workload, config: Config) -> Any:
        if workload.key not in self.kernels:
            function = template.build(workload, self.target, config).with_attr("op_pattern", OPAQUE)
            self.kernels[workload.key] = self.builder.add_func(function, workload.key.replace("-", "_"))
        return self.kernels[workload.key]

    def _emit_onnx(self, node: Node) -> None:
        """Adds an ONNX node as a function of its own, which a later pass inlines."""
        import tvm_ffi
        from tvm.ir import GlobalVar

        layer = import_layer(self.graph, node)
        helpers = {name: self.builder.add_func(helper, name) for name, helper in layer.helpers.items()}
        rename = (GlobalVar, lambda variable: helpers.get(variable.name_hint, variable))
        function = tvm_ffi.structural_map(layer.function, rename) if helpers else layer.function
        variable = self.builder.add_func(function, f"layer_{len(self.values)}")
        value = self.builder.emit(
            self.relax.Call(variable, [self._value(name) for name in dynamic_inputs(self.graph, node)])
        )
        for index, (name, dtype) in enumerate(zip(node.outputs, layer.dtypes, strict=True)):
            result = value if len(node.outputs) == 1 else self.relax.TupleGetItem(value, index)
            if dtype != self.graph.values[name].dtype:
                result = self.relax.op.astype(self.builder.emit(result), self.graph.values[name].dtype)
            self.values[name] = self.builder.emit(result)

    def _value(self, name: str) -> Any:
        if name in self.values:
            return self.values[name]
        return self._constant((name, ""), self.graph.constants[name])

    def _constant(self, key: tuple[str, str], array: npt.NDArray[Any]) -> Any:
        if key not in self.constants:
            # Not np.ascontiguousarray: it gives a scalar a dimension.
            self.constants[key] = self.relax.const(np.asarray(array, order="C"), str(array.dtype))
        return self.constants[key]

    def _type(self, shape: tuple[int, ...], dtype: str) -> Any:
        return self.relax.TensorType(shape, dtype)
