"""Seeded weights for the example networks beside this file: random numbers that behave like trained ones."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn


def initialise_convolutions(model: nn.Module, fan: Literal["fan_in", "fan_out"]) -> None:
    """Draws each convolution's weights after He et al. (2015, arXiv:1502.01852), and its biases if it has any.

    Args:
        model: the network; changed in place.
        fan: whether each convolution keeps the magnitude of its inputs (``fan_in``) or of its outputs' gradients.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode=fan, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.normal_(layer.bias, std=0.1)


def lift_normalised(model: nn.Module) -> None:
    """Sets the offset of each batch normalisation to one, so that most normalised values stay above zero.

    If forty layers without shortcuts each lost half of them, a rounding error would grow fortyfold.
    """
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.bias)


def settle_statistics(model: nn.Module, pixels: int) -> None:
    """Sets each batch normalisation's statistics from random images, so that activations stay of order one.

    The images range from broad patches, as in photographs, to fine noise. Runs in float64, then rounds means (many are
    zero but for rounding) to multiples of 1/4096 and variances to eight bits: the last digits of long sums differ from
    run to run, but the network must not.

    Args:
        model: the network; left in eval mode.
        pixels: height and width of the images; large enough that the last maps exceed one pixel.
    """
    model.double().eval()
    norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.train()
        layer.momentum = None  # use the statistics of this one batch
    patches = nn.functional.interpolate(torch.randn(8, 3, 8, 8).double(), size=pixels, mode="bilinear")
    noise = torch.randn(8, 3, pixels, pixels).double()
    share = torch.linspace(0, 1, 8, dtype=torch.float64).reshape(8, 1, 1, 1)
    with torch.no_grad():
        model((1 - share) * patches + share * noise)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
        assert layer.running_mean is not None
        assert layer.running_var is not None
        layer.running_mean.mul_(4096).round_().div_(4096).add_(0.0)
        layer.running_var.copy_(layer.running_var.bfloat16())
    model.float().eval()
