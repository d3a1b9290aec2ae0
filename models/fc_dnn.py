"""A regressor of three dense layers, 13-128-128-1: so small that a call costs more than its arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network (18,433 parameters) with seeded weights, in eval mode, and one sample (1, 13), float32.

    Samples (N, 13) become values (N, 1).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Linear(13, 128), nn.ReLU(inplace=True), nn.Linear(128, 128), nn.ReLU(inplace=True), nn.Linear(128, 1)
        )
        for layer in model:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
                nn.init.normal_(layer.bias, std=0.1)
        return model.eval(), (torch.randn(1, 13),)
