"""A hand-made layer table: a convolution with a ReLU, a pooling, a view, a dense layer."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile
from tvmopt.benchmarks.measurements.layer_table import LayerTable, NoProfile
from tvmopt.pipeline.inspection.costs import LayerCost
from tvmopt.pipeline.types import TensorSpec

ORDER = ("conv", "relu", "pool", "flatten", "dense")
MAPS, POOLED = (1, 8, 16, 16), (1, 8, 1, 1)
ROOFLINE = Roofline(2, 100e9, ((2**15, 400e9), (2**20, 100e9), (2**28, 20e9)))


def spec(name: str, *shape: int) -> TensorSpec:
    return TensorSpec(name, shape, "float32")


COSTS = (
    LayerCost(
        layer="conv",
        operator="Conv",
        inputs=(spec("image", 1, 3, 16, 16), spec("w", 8, 3, 3, 3)),
        outputs=(spec("maps", *MAPS),),
        flops=110_592,
        integer_ops=0,
        parameters=216,
        read_bytes=3072 + 864,
        written_bytes=8192,
    ),
    LayerCost("relu", "Relu", (spec("maps", *MAPS),), (spec("active", *MAPS),), 2048, 0, 0, 8192, 8192),
    LayerCost("pool", "GlobalAveragePool", (spec("active", *MAPS),), (spec("pooled", *POOLED),), 2048, 0, 0, 8192, 32),
    LayerCost("flatten", "Flatten", (spec("pooled", *POOLED),), (spec("flat", 1, 8),), 0, 0, 0, 0, 0),
    LayerCost(
        layer="dense",
        operator="MatMul",
        inputs=(spec("flat", 1, 8), spec("v", 8, 5)),
        outputs=(spec("scores", 1, 5),),
        flops=80,
        integer_ops=0,
        parameters=40,
        read_bytes=32 + 160,
        written_bytes=20,
    ),
)


def profile(*kernels: tuple[str, float], kind: str = "kernel", detail: str = "") -> LayerProfile:
    """A profile of kernels given as their layers, between spaces, and their microseconds."""
    times = tuple(
        KernelTime(f"k{number}", kind, detail, tuple(layers.split()), microseconds * 1e-6)
        for number, (layers, microseconds) in enumerate(kernels)
    )
    total = sum(kernel.seconds for kernel in times)
    return LayerProfile(times, outside_s=2e-6, profiled_s=total + 3e-6, whole_s=total + 2e-6)


def make_table() -> LayerTable:
    """tvmopt fuses convolution and ReLU; it is slower there than ONNX Runtime and faster elsewhere."""
    entries = {
        "pytorch": profile(("conv", 20), ("relu", 5), ("pool", 4), ("dense", 3), ("", 1)),
        "onnxruntime": profile(("conv relu", 8), ("pool", 4), ("dense", 2)),
        "openvino-int8": profile(("conv relu", 1), ("pool", 1), ("dense", 1)),
        "pytorch-compile": NoProfile("unavailable", "its kernels cannot be told apart"),
        "tvmopt": profile(
            ("conv relu", 10), ("pool", 2), ("dense flatten", 1), ("", 0.5), kind="conv2d_nchwc", detail="tile=4×4"
        ),
    }
    return LayerTable(1, 2, ORDER, {cost.layer: cost for cost in COSTS}, ROOFLINE, entries)


def renamed(table: LayerTable, name: str) -> LayerTable:
    """`table` with `name` in every field where a file may contain free text."""

    def cost_named(cost: LayerCost) -> LayerCost:
        outputs = tuple(replace(output, dtype=name) for output in cost.outputs)
        return replace(cost, layer=name, operator=name, outputs=outputs)

    def kernel_named(kernel: KernelTime) -> KernelTime:
        layers = tuple(name if layer == "conv" else layer for layer in kernel.layers)
        return KernelTime(name, name, name, layers, kernel.seconds)

    profiles = {
        runtime: replace(entry, kernels=tuple(map(kernel_named, entry.kernels)))
        for runtime, entry in table.profiles.items()
    }
    return replace(
        table,
        order=(name, *table.order[1:]),
        costs={name: cost_named(table.costs["conv"])} | {layer: table.costs[layer] for layer in table.order[1:]},
        entries={**profiles, name: profile((name, 9)), "pytorch-compile": NoProfile(name, name)},
    )
