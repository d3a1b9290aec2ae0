"""Kernels against the limits of their classes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from tests import tiny
from tests.benchmarks.layered import ROOFLINE
from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.layer_profile import KernelTime, LayerProfile
from tvmopt.benchmarks.profiling.processor_time import take_turn_on_processor
from tvmopt.benchmarks.suite import kernels as command
from tvmopt.benchmarks.suite.near_peak.classes import (
    DEPTHWISE,
    LARGE,
    LINES,
    OTHER_WINOGRAD,
    SEPARABLE,
    SMALL,
    TRANSPOSED,
    VECTOR,
    VOLUMES,
    WINOGRAD,
    Kernel,
    KernelClass,
    Scaling,
    classes_of,
    describe,
)
from tvmopt.benchmarks.suite.near_peak.measurement import Built, KernelBench, Turn, kernels_of, measure_network
from tvmopt.benchmarks.suite.near_peak.table import render
from tvmopt.pipeline.errors import UsageError
from tvmopt.pipeline.support.progress import Listener
from tvmopt.pipeline.types import Step
from tvmopt.schedules.workload import Tensor, Workload


def convolution(side: int, kernel: int = 3, stride: int = 1, groups: int = 1, op: str = "conv2d") -> Workload:
    channels = 256
    data, weight = Tensor((1, channels, side * stride, side * stride)), Tensor((channels, channels, kernel, kernel))
    attrs = (("dilations", (1, 1)), ("groups", groups), ("pads", (0, 0, 0, 0)), ("strides", (stride, stride)))
    return Workload(op, (data, weight), Tensor((1, channels, side, side)), attrs)


def line(op: str = "conv2d", pixels: int = 999) -> Workload:
    data, weight = Tensor((1, 256, 1, pixels)), Tensor((256, 256, 1, 3))
    attrs = (("dilations", (1, 1)), ("groups", 1), ("pads", (0, 1, 0, 1)), ("strides", (1, 1)))
    return Workload(op, (data, weight), Tensor((1, 256, 1, pixels)), attrs)


def dense(rows: int) -> Workload:
    return Workload("dense", (Tensor((1, rows, 4096)), Tensor((4096, 4096))), Tensor((1, rows, 4096)))


@pytest.mark.parametrize(
    ("workload", "algorithm", "mflop", "threads", "expected"),
    [
        (convolution(56, kernel=1), "direct", 50, 1, (LARGE,)),
        (convolution(56, kernel=1), "direct", 49, 1, ()),
        (convolution(56, kernel=1), "direct", 50, 2, ()),
        (convolution(7, kernel=1), "direct", 50, 1, (SMALL,)),
        (convolution(8), "direct", 50, 1, (SMALL,)),
        (convolution(14), "direct", 50, 1, (LARGE,)),
        (convolution(14), "winograd", 50, 1, (OTHER_WINOGRAD,)),
        (convolution(28), "winograd", 50, 2, (WINOGRAD,)),
        (convolution(56), "direct", 50, 1, (WINOGRAD, LARGE)),
        (convolution(56, stride=2), "direct", 50, 1, (LARGE,)),
        (convolution(56, groups=32), "direct", 50, 1, (LARGE,)),
        (convolution(56, op="depthwise_conv2d"), "depthwise_conv2d", 1, 2, (DEPTHWISE,)),
        (convolution(56, kernel=5, op="depthwise_conv2d"), "depthwise_conv2d", 1, 1, ()),
        (convolution(56, op="separable_conv2d"), "separable_conv2d", 60, 1, (SEPARABLE,)),
        (line(), "direct", 50, 1, (LINES,)),
        (line(), "winograd", 50, 1, (LINES,)),
        (line(), "direct", 49, 1, ()),
        (line(), "direct", 50, 2, ()),
        (line(pixels=1), "direct", 50, 1, (SMALL,)),
        (line("conv3d"), "conv3d", 50, 1, (VOLUMES,)),
        (line("transposed_conv2d"), "transposed_conv2d", 50, 1, (TRANSPOSED,)),
        (line("transposed_conv2d"), "transposed_conv2d", 49, 1, ()),
        (dense(64), "dense", 50, 1, (LARGE,)),
        (dense(1), "dense", 200, 1, (VECTOR,)),
        (dense(1), "dense", 2, 1, ()),
    ],
)
def test_classes(
    workload: Workload, algorithm: str, mflop: int, threads: int, expected: tuple[KernelClass, ...]
) -> None:
    assert classes_of(workload, algorithm, mflop * 1_000_000, threads) == expected


def test_shapes_in_words() -> None:
    assert describe(convolution(28)) == "1×256×28×28, 256×256×3×3 → 1×256×28×28"
    assert describe(convolution(28, stride=2)).endswith("→ 1×256×28×28, stride 2")
    assert describe(replace(line(), attrs=(("strides", (1, 2)),))).endswith("→ 1×256×1×999, stride 1×2")
    assert describe(dense(1)) == "1×1×4096, 4096×4096 → 1×1×4096"


def turn(*microseconds: float, peak: float = 100e9) -> Turn:
    times = tuple(KernelTime(f"k{i}", "kernel", "", (), value * 1e-6) for i, value in enumerate(microseconds))
    return Turn(LayerProfile.measured(times, 1.0, 1.0), peak, ROOFLINE)


def test_shares_are_of_the_peak_beside_them() -> None:
    workload = convolution(56, kernel=1)
    step = Step("k", "conv2d", ("first", "relu"), (), "task", 80_000_000, 1000)
    other = Step("l", "relayout", ("input",), (), "unknown", 0, 1000)
    choice = cast(Any, SimpleNamespace(task=SimpleNamespace(workload=workload), algorithm="direct"))
    built = Built("net", 1, Path("1.tar"), (other, step, step), {"task": choice})
    turns = [turn(5, 1000, 1000), turn(5, 2000, 2000, peak=50e9), turn(5, 1000, 1100)]
    (kernel,) = kernels_of(built, turns)
    assert (kernel.layer, kernel.calls, kernel.kind) == ("first", 2, LARGE.name)
    assert kernel.share == pytest.approx(0.8)  # also in the second turn, in which the machine was half as fast
    assert kernel.seconds == pytest.approx(1.05e-3)
    assert kernel.misses
    assert kernel.lost_s == pytest.approx(2 * 1.05e-3 * (1 - 0.8 / 0.88))


def test_what_moves_more_than_it_computes_is_held_to_the_roofline() -> None:
    """Few multiply-adds for each result: writing it takes longer, and the peak says nothing."""
    choice = cast(Any, SimpleNamespace(task=SimpleNamespace(workload=line()), algorithm="direct"))
    flops, nbytes = 98_000_000, 400_000_000
    step = Step("k", "conv2d", ("a",), (), "task", flops, nbytes)
    (bound,) = kernels_of(Built("net", 1, Path("1.tar"), (step,), {"task": choice}), [turn(8000)])
    assert bound.memory_bound
    assert bound.share == pytest.approx(ROOFLINE.attainable_s(flops, nbytes) / 8e-3)
    assert bound.share > 2 * flops / 100e9 / 8e-3
    near = replace(step, nbytes=1000)
    (other,) = kernels_of(Built("net", 1, Path("1.tar"), (near,), {"task": choice}), [turn(8000)])
    assert not other.memory_bound
    assert other.share == pytest.approx(flops / 100e9 / 8e-3)


def test_depthwise_is_held_to_the_roofline() -> None:
    step = Step("k", "depthwise_conv2d", ("a",), (), "task", 1000, 400_000)
    choice = cast(
        Any,
        SimpleNamespace(
            task=SimpleNamespace(workload=convolution(56, op="depthwise_conv2d")), algorithm="depthwise_conv2d"
        ),
    )
    (kernel,) = kernels_of(Built("net", 2, Path("2.tar"), (step,), {"task": choice}), [turn(5)])
    assert kernel.share == pytest.approx(400_000 / 100e9 / 5e-6)
    assert not kernel.misses


def kernel(layer: str, share: float, kind: KernelClass = LARGE, seconds: float = 1e-3) -> Kernel:
    words = (layer, "1×1 → 1×1", kind.name, "direct")
    return Kernel("resnet50", 1, *words, 2, seconds, share, kind.limit)


def test_tables() -> None:
    kernels = [kernel("good", 0.9), kernel("bad", 0.8), kernel("worse", 0.7, seconds=1e-5), kernel("v", 0.4, VECTOR)]
    text = render(kernels, [Scaling("resnet50", {1: 0.04, 2: 0.025}), Scaling("lstm", {1: 0.1})])
    lines = text.splitlines()
    assert "| direct, ≥ 50 MFLOP, of the peak | 1 | 3 | 0.80 | 0.70 | resnet50: worse (1×1 → 1×1) | 0.88 | 2 |" in lines
    assert any(line.endswith("| 0.40 | resnet50: v (1×1 → 1×1) | – | – |") for line in lines)
    assert "| resnet50 | 40.000 | 25.000 | 1.60 | 1.80 |" in lines
    assert "lstm" not in text
    missing = [line.split(" | ")[2] for line in lines if line.endswith(" µs |")]
    assert missing == ["bad", "worse"]
    every = [line.split(" | ")[2] for line in render(kernels, [], each=True).splitlines() if line.endswith(" µs |")]
    assert every == ["good", "bad", "worse", "v"]


def test_nothing_to_report() -> None:
    assert "No kernel of any class." in render([], [])
    assert "Every kernel reaches its limit." in render([kernel("good", 0.9)], [])


def test_unknown_networks_and_too_many_threads() -> None:
    assert CliRunner().invoke(command.main, ["--network", "lenet"]).exit_code == 2
    done = CliRunner().invoke(command.main, ["--threads", "4096"])
    assert done.exit_code == 2
    assert "the cores this process may use" in done.output


@pytest.mark.slow
@pytest.mark.parametrize("on_processor", [False, True])
def test_a_tiny_network_is_measured(monkeypatch: pytest.MonkeyPatch, on_processor: bool) -> None:
    """The whole command, except for the roofline, which takes long to measure."""

    def measure(threads: int) -> Roofline:
        return Roofline(threads, ROOFLINE.peak_flops, ROOFLINE.bandwidth)

    monkeypatch.setattr("tvmopt.benchmarks.profiling.profile_artifact.measure_roofline", measure)
    monkeypatch.setattr("tvmopt.benchmarks.profiling.processor_time.measure_roofline", measure)
    monkeypatch.setattr("tvmopt.benchmarks.suite.near_peak.classes.LARGE_FLOPS", 1)
    bench = KernelBench((1,), None, seconds=0.2, turns=1, on_processor=on_processor)
    kernels, scaling, peaks = measure_network(tiny.load(), bench, Listener())
    assert {kernel.shape.partition(",")[0] for kernel in kernels} == {"1×8×14×14", "1×16×14×14"}
    assert all(kernel.share > 0 for kernel in kernels)
    assert scaling.speedup is None
    assert len(peaks[1]) == 1


def test_processor_time_is_for_one_thread(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got 2 threads: add --threads 1"):
        take_turn_on_processor(tmp_path / "2.tar", 2, 0.1)
