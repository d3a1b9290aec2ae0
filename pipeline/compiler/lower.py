"""Lowers the optimised graph, with a config for each kernel, to TVM's IRModule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.compiler.guarded_onnx import guarded_onnx
from tvmopt.pipeline.compiler.traced.kernel_calls import mark
from tvmopt.pipeline.compiler.tvm_layer import dynamic_inputs, import_layer
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.ir import Graph, Node
from tvmopt.pipeline.tasks.bind import BoundModel, BoundNode
from tvmopt.schedules.llvm.memory_bound.index_bounds import check_indices
from tvmopt.schedules.operators import BOUNDS
from tvmopt.schedules.registry import BoundKernel, has_templates
from tvmopt.schedules.space import Config
from tvmopt.schedules.target import Target

OPAQUE = 8
"""TVM's operator pattern for kernels that must not be fused with others."""


def lower(bound: BoundModel, configs: Mapping[str, Config]) -> Any:
    """The IRModule of `bound`: our kernels as PrimFuncs, the rest as Relax operators, and a ``main`` that runs them.

    Args:
        bound: the graph.
        configs: the config of each task's kernel, by the task's name; the default for others.

    Raises:
        BuildError: when a kernel cannot be generated; names the layer.
    """
    if not has_templates(bound.target):
        return _import_whole(bound)
    return _Lowering(bound.graph, bound.target, configs).module(bound.nodes)


def lower_layer(graph: Graph) -> Any:
    """The IRModule of a graph whose nodes are all left to TVM's importer.

    Raises:
        BuildError: when the importer refuses one; names the layer.
    """
    return _Lowering(graph, None, {}).module([BoundNode(node) for node in graph.nodes])


def _import_whole(bound: BoundModel) -> Any:
    from tvm.relax.frontend.onnx import from_onnx

    return from_onnx(guarded_onnx(bound.model.normalized).model, keep_params_in_input=False)


class _Lowering:
    """Emits the graph node by node into a Relax function."""

    def __init__(self, graph: Graph, target: Target | None, configs: Mapping[str, Config]) -> None:
        from tvm import relax

        self.relax = relax
        self.graph, self.target, self.configs = graph, target, configs
        self.builder = relax.BlockBuilder()
        self.kernels: dict[str, Any] = {}
        self.constants: dict[tuple[str, str], Any] = {}
        self.values: dict[str, Any] = {}

    def module(self, nodes: Sequence[BoundNode]) -> Any:
        relax, graph = self.relax, self.graph
        parameters = [
            relax.Var(f"input_{i}", self._type(graph.values[name].physical_shape, graph.values[name].dtype))
            for i, name in enumerate(graph.inputs)
        ]
        self.values.update(zip(graph.inputs, parameters, strict=True))
        with self.builder.function("main", parameters):
            with self.builder.dataflow():
                for place, bound in enumerate(nodes):
                    self._emit(place, bound)
                outputs = [self._value(name) for name in graph.outputs]
                result = outputs[0] if len(outputs) == 1 else relax.Tuple(outputs)
                result = self.builder.emit_output(result)
            self.builder.emit_func_output(result)
        return self.builder.get()

    def _emit(self, place: int, bound: BoundNode) -> None:
        node = bound.node
        if bound.is_imported:
            self._emit_onnx(node)
        elif bound.is_view:
            shape = self.graph.values[node.output].physical_shape
            value = self.relax.op.reshape(self._value(node.inputs[0]), shape)
            self.values[node.output] = self.builder.emit(value)
        elif bound.is_check:
            self._emit_check(place, node)
        else:
            self._emit_kernel(place, node, bound.kernel)

    def _emit_kernel(self, place: int, node: Node, bound: BoundKernel | None) -> None:
        if bound is None:
            key = self.target.key if self.target is not None else "any target"
            raise BuildError(f"layer {node.layers[0]!r}: no template takes {node.op} for {key}")
        workload = bound.workload
        try:
            config = self.configs.get(bound.key) or bound.default
            kernel = self._kernel(bound, config)
        except (LookupError, ValueError) as error:
            raise BuildError(f"layer {node.layers[0]!r}: no kernel could be generated: {error}") from error
        known = {i: self.graph.constants[name] for i, name in enumerate(node.inputs) if name in self.graph.constants}
        memory = bound.pack(config, known)
        packed = bound.packed_shapes(config)
        arguments = []
        for index, name in enumerate(node.inputs):
            if index in known:
                arguments.append(self._constant((name, f"{bound.key}:{index}"), memory[index]))
            else:
                assert index not in packed, f"{node.layers[0]}: input {index} is packed but not constant"
                have = self.graph.values[name].physical_shape
                arguments.append(self._shaped(self._value(name), have, workload.inputs[index]))
        made = self._type(workload.output.physical_shape, workload.output.dtype)
        value = self.builder.emit(mark(self.relax.call_tir(kernel, self.relax.Tuple(arguments), made), place))
        stored = self.graph.values[node.output].physical_shape
        if stored != workload.output.physical_shape:
            value = self.builder.emit(self.relax.op.reshape(value, stored))
        self.values[node.output] = value

    def _emit_check(self, place: int, node: Node) -> None:
        attrs, tensor = node.attrs, self.graph.values[node.output]
        limits, message = attrs["limits"], attrs["message"]
        assert isinstance(limits, tuple)
        function = check_indices(tensor, limits, bool(attrs["wraps"]), str(message)).with_attr("op_pattern", OPAQUE)
        kernel = self.builder.add_func(function, f"{BOUNDS.name}_{place}")
        made = self._type(tensor.physical_shape, tensor.dtype)
        arguments = self.relax.Tuple([self._value(node.inputs[0])])
        self.values[node.output] = self.builder.emit(mark(self.relax.call_tir(kernel, arguments, made), place))

    def _shaped(self, value: Any, have: tuple[int, ...], tensor: Any) -> Any:
        want = tensor.physical_shape
        return value if have == want else self.builder.emit(self.relax.op.reshape(value, want))

    def _kernel(self, bound: BoundKernel, config: Config) -> Any:
        if bound.key not in self.kernels:
            function = bound.build(config).with_attr("op_pattern", OPAQUE)
            self.kernels[bound.key] = self.builder.add_func(function, bound.symbol)
        return self.kernels[bound.key]

    def _emit_onnx(self, node: Node) -> None:
        """Adds an ONNX node as a separate function, which a later pass inlines."""
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
