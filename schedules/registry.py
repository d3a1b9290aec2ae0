"""Which template takes which workload: an ordered tuple for each kind of target, the first that accepts wins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from tvmopt.schedules.race import Race
from tvmopt.schedules.space import Config, Space
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Workload

Array = npt.NDArray[Any]


class Template(Protocol):
    """Generates the kernel of a workload from a config.

    Attributes:
        name: what records call it.
        version: raised whenever the same config comes to mean another kernel; older records then no longer match.
    """

    name: str
    version: int

    def accepts(self, workload: Workload, target: Target) -> bool:
        """Whether this template can generate the workload for the target."""

    def space(self, workload: Workload, target: Target) -> Space:
        """The configs to choose from."""

    def default(self, workload: Workload, target: Target) -> Config:
        """The config that the target's facts suggest, without any measurement."""

    def features(self, workload: Workload, target: Target, config: Config) -> tuple[float, ...]:
        """Numbers that the cost model learns from; the same count for every config."""

    def flops(self, workload: Workload) -> int:
        """Floating-point operations, a multiply-add as two."""

    def build(self, workload: Workload, target: Target, config: Config) -> Any:
        """The scheduled PrimFunc; parameters are the inputs, then the output."""


@runtime_checkable
class PackingTemplate(Template, Protocol):
    """A template whose kernel reads constant inputs in its own order, which depends on the config."""

    def packed(self, workload: Workload, target: Target, config: Config) -> Mapping[int, tuple[int, ...]]:
        """The shapes in memory of the inputs that are packed, by index."""

    def pack(self, workload: Workload, target: Target, config: Config, index: int, array: Array) -> Array:
        """The logical `array` of input `index`, packed."""


@runtime_checkable
class EstimatingTemplate(Template, Protocol):
    """A template that estimates how long a config takes, from the target's facts alone."""

    def cycles(self, workload: Workload, target: Target, config: Config) -> float:
        """Estimated cycles on one core; only the ratios of a workload's configs count."""


def llvm_templates() -> tuple[Template, ...]:
    """Templates for CPUs, in the order they are asked."""
    from tvmopt.schedules.llvm.attention.attention import Attention
    from tvmopt.schedules.llvm.convolution.conv2d import Convolution
    from tvmopt.schedules.llvm.convolution.conv3d import Conv3d
    from tvmopt.schedules.llvm.convolution.integers.conv2d import IntegerConvolution
    from tvmopt.schedules.llvm.convolution.transposed import TransposedConv2d
    from tvmopt.schedules.llvm.dense.activations import IntegerProduct
    from tvmopt.schedules.llvm.dense.dense import Dense
    from tvmopt.schedules.llvm.dense.integers import IntegerDense
    from tvmopt.schedules.llvm.depthwise.depthwise import DepthwiseConv2d
    from tvmopt.schedules.llvm.depthwise.expanded import ExpandedConv2d
    from tvmopt.schedules.llvm.depthwise.integer import IntegerDepthwiseConv2d
    from tvmopt.schedules.llvm.depthwise.separable import SeparableConv2d
    from tvmopt.schedules.llvm.depthwise.transposed_depthwise import TransposedDepthwise
    from tvmopt.schedules.llvm.depthwise.volumes import DepthwiseConv3d
    from tvmopt.schedules.llvm.maps.channel_norm import ChannelNorm
    from tvmopt.schedules.llvm.maps.channel_window import ChannelWindow
    from tvmopt.schedules.llvm.maps.channels import Channels
    from tvmopt.schedules.llvm.maps.relayout import Relayout
    from tvmopt.schedules.llvm.memory_bound.copy import Copy
    from tvmopt.schedules.llvm.memory_bound.depth_to_space import DepthToSpace
    from tvmopt.schedules.llvm.memory_bound.layout import Concat, PlainConcat
    from tvmopt.schedules.llvm.memory_bound.map_norm import MapNorm
    from tvmopt.schedules.llvm.memory_bound.pad import Pad
    from tvmopt.schedules.llvm.memory_bound.pointwise import Pointwise
    from tvmopt.schedules.llvm.memory_bound.pool2d import Pool2d
    from tvmopt.schedules.llvm.memory_bound.reduction import Reduce, Softmax
    from tvmopt.schedules.llvm.memory_bound.resize2d import Resize2d
    from tvmopt.schedules.llvm.memory_bound.row_norm import RowNorm
    from tvmopt.schedules.llvm.memory_bound.table import Table
    from tvmopt.schedules.llvm.recurrent.recurrent import Recurrence
    from tvmopt.schedules.llvm.selection.find import Find
    from tvmopt.schedules.llvm.selection.pick import Pick
    from tvmopt.schedules.llvm.selection.suppress import Suppress
    from tvmopt.schedules.llvm.selection.take import Take
    from tvmopt.schedules.llvm.selection.top_k import TopK

    return (
        Convolution(),
        IntegerConvolution(),
        DepthwiseConv2d(),
        IntegerDepthwiseConv2d(),
        SeparableConv2d(),
        ExpandedConv2d(),
        TransposedConv2d(),
        TransposedDepthwise(),
        Conv3d(),
        DepthwiseConv3d(),
        Dense(),
        IntegerDense(),
        IntegerProduct(),
        Recurrence(),
        Pool2d(),
        Table(),
        Pointwise(),
        Concat(),
        PlainConcat(),
        Channels(),
        Relayout(),
        DepthToSpace(),
        Copy(),
        Pad(),
        Reduce(),
        RowNorm(),
        MapNorm(),
        ChannelNorm(),
        ChannelWindow(),
        Softmax(),
        Attention(),
        Resize2d(),
        TopK(),
        Pick(),
        Take(),
        Suppress(),
        Find(),
    )


def cuda_templates() -> tuple[Template, ...]:
    """Templates for NVIDIA's GPUs: none so far; TVM's rules schedule all operators."""
    return ()


TEMPLATES: Mapping[str, Callable[[], tuple[Template, ...]]] = {"llvm": llvm_templates, "cuda": cuda_templates}
"""The templates for each kind of target (`schedules.target.Target.kind`)."""


def has_templates(target: Target) -> bool:
    """Whether templates generate (and tuning tunes) kernels for the target; else TVM's rules schedule whole models."""
    return bool(TEMPLATES[target.kind]())


def schedule_rest(module: Any, target: Target) -> Any:
    """Returns `module` with every PrimFunc that no template generated scheduled by the target's last rule.

    Args:
        module: an IRModule of fused operators.
        target: what it is for.
    """
    from tvmopt.schedules.cuda.rules import schedule_gpu
    from tvmopt.schedules.llvm import fallback

    return {"llvm": fallback.schedule_rest, "cuda": schedule_gpu}[target.kind](module, target)


def template_for(workload: Workload, target: Target) -> Template:
    """The template that generates `workload` for `target`.

    Raises:
        LookupError: when none accepts it; the graph should never produce such a workload.
    """
    for template in TEMPLATES[target.kind]():
        if template.accepts(workload, target):
            return template
    raise LookupError(f"no template for {workload.op} {workload.to_json()} on {target.key}")


def algorithm_of(template: Template, workload: Workload, target: Target, config: Config) -> tuple[str, Config]:
    """The name of the algorithm that computes `workload` under `config`, and its knobs; for display."""
    if isinstance(template, Race):
        return template.algorithm(config).name, template.knobs(workload, target, config)
    return template.name, config


def packed_shapes(
    template: Template, workload: Workload, target: Target, config: Config
) -> Mapping[int, tuple[int, ...]]:
    """Inputs that the kernel expects packed under `config`, with the packed shape; others keep their layout."""
    return template.packed(workload, target, config) if isinstance(template, PackingTemplate) else {}


def pack_inputs(
    template: Template, workload: Workload, target: Target, config: Config, arrays: Mapping[int, Array]
) -> dict[int, Array]:
    """Inputs of a kernel as it expects them in memory under `config`.

    Args:
        template: the workload's template.
        workload: whose inputs they are.
        target: what the kernel is built for.
        config: the kernel's config.
        arrays: logical values by the input's index (feature maps NCHW, convolution weights OIHW, dense weights K×N).
    """
    packed = packed_shapes(template, workload, target, config)

    def memory(index: int, array: Array) -> Array:
        if index in packed and isinstance(template, PackingTemplate):
            return template.pack(workload, target, config, index, array)
        return workload.inputs[index].store(array)

    return {index: memory(index, array) for index, array in arrays.items()}


@dataclass(frozen=True, slots=True)
class BoundKernel:
    """A workload bound to the template that generates it for a target; only a config is missing.

    Attributes:
        template: the template that generates it.
        workload: what it computes.
        target: what it is generated for.
    """

    template: Template
    workload: Workload
    target: Target

    @property
    def key(self) -> str:
        """What tasks and records call it: the workload's key."""
        return self.workload.key

    @property
    def symbol(self) -> str:
        """The key as a C identifier, the kernel's name in the library; do not parse it."""
        return self.key.replace("-", "_")

    @property
    def space(self) -> Space:
        """The configs to choose from."""
        return self.template.space(self.workload, self.target)

    @property
    def has_knobs(self) -> bool:
        """Whether there is anything to choose."""
        return bool(self.space.knobs)

    @property
    def default(self) -> Config:
        """The config that the target's facts suggest, without any measurement."""
        return self.template.default(self.workload, self.target)

    @property
    def flops(self) -> int:
        """Floating-point operations, a multiply-add as two."""
        return self.template.flops(self.workload)

    def algorithm(self, config: Config) -> tuple[str, Config]:
        """The name of the algorithm that computes it under `config`, and its knobs; for display."""
        return algorithm_of(self.template, self.workload, self.target, config)

    def build(self, config: Config) -> Any:
        """The scheduled PrimFunc; parameters are the inputs, then the output.

        Raises:
            LookupError, ValueError: when it cannot be generated.
        """
        return self.template.build(self.workload, self.target, config)

    def packed_shapes(self, config: Config) -> Mapping[int, tuple[int, ...]]:
        """The shapes in memory of the inputs that are packed under `config`, by index."""
        return packed_shapes(self.template, self.workload, self.target, config)

    def pack(self, config: Config, arrays: Mapping[int, Array]) -> dict[int, Array]:
        """Inputs as the kernel expects them in memory under `config`; `arrays` as for `pack_inputs`."""
        return pack_inputs(self.template, self.workload, self.target, config, arrays)


def kernel_for(workload: Workload, target: Target) -> BoundKernel:
    """`workload`, bound to the template that generates it for `target`.

    Raises:
        LookupError: as `template_for`.
    """
    return BoundKernel(template_for(workload, target), workload, target)
