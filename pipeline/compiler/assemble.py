"""The program of a bound model, made straight from its graph: which kernels run in which order, on which memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.compiler.concat_in_place import joins_memory
from tvmopt.pipeline.compiler.kernels.forge import Forge
from tvmopt.pipeline.compiler.kernels.job import Job, bounds_job, kernel_job, layer_job
from tvmopt.pipeline.compiler.kernels.kernel_object import KernelObject
from tvmopt.pipeline.compiler.kernels.layer_part import LayerPart
from tvmopt.pipeline.compiler.program import (
    CONSTANT,
    INPUT,
    WORK,
    Call,
    Later,
    NotStaticError,
    Program,
    View,
    checked_dtype,
)
from tvmopt.pipeline.compiler.slice_in_place import slice_offset
from tvmopt.pipeline.compiler.steps import imported_step, own_step
from tvmopt.pipeline.compiler.tvm_layer import dynamic_inputs, passed_constants
from tvmopt.pipeline.errors import BuildError
from tvmopt.pipeline.graph.ir import Node
from tvmopt.pipeline.support.memory import let_go
from tvmopt.pipeline.tasks.bind import BoundModel, BoundNode
from tvmopt.pipeline.types import Step
from tvmopt.schedules.operators import BOUNDS
from tvmopt.schedules.registry import BoundKernel
from tvmopt.schedules.space import Config

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Assembly:
    """A program with its kernels, and what its calls stand for.

    Attributes:
        program: the calls.
        kernels: the machine code of its kernels, each once.
        steps: the nodes that each call computes, in the order of the calls.
        joins: positions of the concatenations that need no call if their inputs are made in the right place.
        slices: positions of the copies that are parts of their sources, with where they begin in them, in bytes.
    """

    program: Program
    kernels: tuple[KernelObject, ...]
    steps: tuple[Step, ...]
    joins: frozenset[int]
    slices: Mapping[int, int]


def assemble(bound: BoundModel, configs: Mapping[str, Config], forge: Forge) -> Assembly | None:
    """The program of `bound`; None when a layer needs TVM's virtual machine.

    Args:
        bound: the graph, for a target with templates.
        configs: the config of each task's kernel, by the task's name; the default for others.
        forge: makes the kernels.

    Raises:
        BuildError: when a kernel cannot be generated or does not fit its call; names the layer.
    """
    jobs = _jobs(bound, configs)
    made = forge.make(list(jobs.values()))
    kernels = {n: KernelObject.from_bytes(made[job.key]) for n, job in jobs.items() if not bound.nodes[n].is_imported}
    parts = {n: LayerPart.from_bytes(made[job.key]) for n, job in jobs.items() if bound.nodes[n].is_imported}
    if any(part.program is None for part in parts.values()):
        return None
    try:
        return _Assembler(bound, configs).assembly(kernels, parts)
    except NotStaticError:
        return None


def _jobs(bound: BoundModel, configs: Mapping[str, Config]) -> dict[int, Job]:
    """What each node that is computed needs, by the node's place."""
    # Here, since it imports onnx's helpers, which models without such layers do not need.
    from tvmopt.pipeline.compiler.kernels.layers import layer_model

    jobs = {}
    for place, one in enumerate(bound.nodes):
        layer = one.node.layers[0]
        if one.is_imported:
            jobs[place] = layer_job(layer_model(bound.graph, one.node), bound.target, layer)
        elif one.is_check:
            node = one.node
            indices = bound.graph.values[node.output]
            jobs[place] = bounds_job(f"{BOUNDS.name}_{place}", indices, node.attrs, bound.target, layer)
        elif not one.is_view:
            if one.kernel is None:
                raise BuildError(f"layer {layer!r}: no template takes {one.node.op} for {bound.target.key}")
            jobs[place] = kernel_job(one.kernel, _config(one.kernel, configs), layer)
    return jobs


def _config(kernel: BoundKernel, configs: Mapping[str, Config]) -> Config:
    return configs.get(kernel.key) or kernel.default


class _Assembler:
    """Adds node after node."""

    def __init__(self, bound: BoundModel, configs: Mapping[str, Config]) -> None:
        self.bound, self.graph, self.configs = bound, bound.graph, configs
        self.places: list[str] = []
        self.arrays: dict[int, Array | Later] = {}
        self.constants: dict[tuple[str, str], View] = {}
        self.values: dict[str, View] = {}
        self.calls: list[Call] = []
        self.steps: list[Step] = []
        self.joins: set[int] = set()
        self.slices: dict[int, int] = {}

    def assembly(self, kernels: Mapping[int, KernelObject], parts: Mapping[int, LayerPart]) -> Assembly:
        inputs = []
        for name in self.graph.inputs:
            tensor = self.graph.values[name]
            inputs.append(self._new(INPUT, tensor.physical_shape, tensor.dtype))
        self.values.update(zip(self.graph.inputs, inputs, strict=True))
        used: dict[str, KernelObject] = {}
        for place, one in enumerate(self.bound.nodes):
            node = one.node
            if one.is_view:
                shape = self.graph.values[node.output].physical_shape
                self.values[node.output] = replace(self._value(node.inputs[0]), shape=shape)
            elif one.is_imported:
                used.update((kernel.symbol, kernel) for kernel in parts[place].kernels)
                self._add_part(node, parts[place])
            else:
                used[kernels[place].symbol] = kernels[place]
                add = self._add_check if one.is_check else self._add_kernel
                add(one, kernels[place])
        outputs = tuple(self._value(name) for name in self.graph.outputs)
        program = Program(tuple(self.calls), tuple(self.places), tuple(inputs), outputs, self.arrays)
        return Assembly(program, tuple(used.values()), tuple(self.steps), frozenset(self.joins), self.slices)

    def _add_kernel(self, one: BoundNode, made: KernelObject) -> None:
        node, bound, graph = one.node, one.kernel, self.graph
        assert bound is not None
        workload, config = bound.workload, _config(bound, self.configs)
        known = {i: graph.constants[name] for i, name in enumerate(node.inputs) if name in graph.constants}
        packed = bound.packed_shapes(config)
        arguments = []
        for index, name in enumerate(node.inputs):
            tensor = workload.inputs[index]
            if index in known and index not in packed and tensor.plain and tensor.elements == known[index].size:
                # In the order that it has, it is stored once, whoever reads it.
                arguments.append(replace(self._value(name), shape=tensor.physical_shape))
            elif index in known:
                shape = packed.get(index, tensor.physical_shape)
                pack = partial(_packed, bound, config, index, known[index])
                arguments.append(self._constant(self._key(node, bound, index), shape, str(known[index].dtype), pack))
            else:
                assert index not in packed, f"{node.layers[0]}: input {index} is packed but not constant"
                arguments.append(replace(self._value(name), shape=tensor.physical_shape))
        arguments.append(self._new(WORK, workload.output.physical_shape, workload.output.dtype))
        if joins_memory(workload):
            self.joins.add(len(self.calls))
        offset = slice_offset(workload)
        if offset is not None:
            self.slices[len(self.calls)] = offset
        self._call(made, made.tasks, arguments, node)
        self.steps.append(own_step(graph, node, bound, made.symbol))
        self.values[node.output] = replace(arguments[-1], shape=graph.values[node.output].physical_shape)

    def _add_check(self, one: BoundNode, made: KernelObject) -> None:
        tensor = self.graph.values[one.node.output]
        checked = self._new(WORK, tensor.physical_shape, tensor.dtype)
        given = replace(self._value(one.node.inputs[0]), shape=checked.shape)
        self._call(made, made.tasks, [given, checked], one.node)
        self.steps.append(own_step(self.graph, one.node, None, made.symbol))
        self.values[one.node.output] = checked

    def _add_part(self, node: Node, part: LayerPart) -> None:
        """Adds the calls of a layer that TVM lowered, on buffers of this program."""
        program = part.program
        assert program is not None
        names = (*dynamic_inputs(self.graph, node), *passed_constants(self.graph, node))
        taken = [self._value(name) for name in names]
        buffers = {inner.buffer: outer.buffer for inner, outer in zip(program.inputs, taken, strict=True)}
        shifts = {inner.buffer: outer.offset for inner, outer in zip(program.inputs, taken, strict=True)}
        for number, place in enumerate(program.places):
            if place != INPUT:
                self.places.append(place)
                buffers[number] = len(self.places) - 1
                if place == CONSTANT:
                    self.arrays[buffers[number]] = program.constants[number]

        def here(view: View) -> View:
            return replace(view, buffer=buffers[view.buffer], offset=view.offset + shifts.get(view.buffer, 0))

        made = {kernel.symbol: kernel for kernel in part.kernels}
        for call in program.calls:
            self._call(made[call.kernel], call.tasks, [here(view) for view in call.arguments], node)
            self.steps.append(imported_step(self.graph, call.kernel, node, alone=len(program.calls) == 1))
        self.values.update(zip(node.outputs, map(here, program.outputs), strict=True))

    def _call(self, made: KernelObject, tasks: int, arguments: list[View], node: Node) -> None:
        """Adds a call; its kernel does not check its arguments when it runs, so they are checked here."""
        given = tuple((view.shape, view.dtype) for view in arguments)
        if given != made.arguments:
            raise BuildError(f"layer {node.layers[0]!r}: {made.symbol} takes {made.arguments}, it would get {given}")
        self.calls.append(Call(made.symbol, tuple(arguments), tasks))

    def _value(self, name: str) -> View:
        if name in self.values:
            return self.values[name]
        array = self.graph.constants[name]
        # Not np.ascontiguousarray: it gives a scalar a dimension.
        return self._constant((name, ""), array.shape, str(array.dtype), lambda: np.asarray(array, order="C"))

    def _key(self, node: Node, bound: BoundKernel, index: int) -> tuple[str, str]:
        """What tells a constant in one kernel's order from the same constant in another's."""
        return node.inputs[index], f"{bound.key}:{index}"

    def _constant(self, key: tuple[str, str], shape: tuple[int, ...], dtype: str, make: Callable[[], Array]) -> View:
        if key not in self.constants:
            view = self._new(CONSTANT, shape, dtype)
            self.arrays[view.buffer] = Later(view.nbytes, make)
            self.constants[key] = view
        return self.constants[key]

    def _new(self, place: str, shape: tuple[int, ...], dtype: str) -> View:
        self.places.append(place)
        return View(len(self.places) - 1, 0, tuple(shape), checked_dtype(dtype))


def _packed(bound: BoundKernel, config: Config, index: int, array: Array) -> Array:
    """The constant `array` as the kernel reads it."""
    packed = bound.pack(config, {index: array})[index]
    if not np.may_share_memory(packed, array):
        let_go(array)
    return packed
