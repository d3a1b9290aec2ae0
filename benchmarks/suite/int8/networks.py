"""The networks of ``nox -s bench -- --int8``: eleven of convolutions, beside the peers in INT8 and ours in FP32."""

from __future__ import annotations

from tvmopt.benchmarks.measurements.verdicts import TRANSFER
from tvmopt.benchmarks.runtimes.registry import RUNTIMES

NETWORKS = (
    *("mobilenet_v2", "resnet50", "vgg16", "squeezenet1_1", "googlenet", "resnet18", "efficientnet_lite0"),
    *("mobilenetv1_100", "mnasnet1_0", "regnet_y_400mf", "shufflenet_v2_x1_0"),
)
"""Of models/ and of the networks that were never tuned."""

OURS = ("tvmopt-int8-transfer", TRANSFER)
"""Ours in INT8 and in FP32, as `tvmopt compile` builds them: with records where there are any."""

SAMPLES = 16
"""Pictures that the quantisers calibrate on; random weights need no more."""


def int8_peers() -> tuple[str, ...]:
    """The other projects' runtimes in INT8, in the registry's order; without the settings that saturate."""
    return tuple(
        runtime.name
        for runtime in RUNTIMES
        if runtime.quantized and not runtime.only_named and "tvmopt" not in runtime.packages
    )
