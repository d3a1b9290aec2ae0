"""A multilayer perceptron with two layers: 407,050 parameters. So small that overhead outside its layers shows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one flat image (1, 784), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))
        return model.eval(), (torch.randn(1, 784),)
