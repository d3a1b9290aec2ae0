"""Weights and thin wrappers that every file of networks here shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import torchvision_operators

torchvision_operators.declare()  # timm and transformers import torchvision as well

Built = tuple[nn.Module, tuple[Tensor, ...]]
"""What a factory returns: the network in eval mode, and example inputs."""


def seeded(make: Callable[[], nn.Module], *inputs: Callable[[], Tensor]) -> Built:
    """The network that `make` builds and its example inputs, each the same at every call.

    Weights that the network begins with as zeros are drawn as well, and batch normalisations get the statistics of
    random inputs: otherwise the results of some networks are zero, or too small or large to compare.

    Args:
        make: builds the network; draws its weights from PyTorch's generator.
        inputs: each makes one example input, in order.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().eval()
        for weight in model.parameters():
            if weight.dim() > 1 and not weight.any():
                nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        _settle(model, inputs)
        return model, tuple(one() for one in inputs)


def _settle(model: nn.Module, inputs: tuple[Callable[[], Tensor], ...]) -> None:
    """Sets the statistics of the batch normalisations from a batch of four random inputs."""
    norms = [layer for layer in model.modules() if isinstance(layer, _BatchNorm)]
    if not norms:
        return
    for layer in norms:
        layer.train()
        layer.momentum = None  # use the statistics of this one batch
    with torch.no_grad():
        model(*(torch.cat([one() for _ in range(4)]) for one in inputs))
    for layer in norms:
        layer.eval()


def image(size: int, channels: int = 3) -> Callable[[], Tensor]:
    """Makes a random image ``(1, channels, size, size)``, float32, of mean 0 and deviation 1.

    Its amplitudes fall with the frequency, as those of photographs do (Field 1987): batch normalisations with the
    statistics of white noise would let a photograph grow from layer to layer, until rounding errors decide.
    """

    def make() -> Tensor:
        across, down = torch.fft.rfftfreq(size), torch.fft.fftfreq(size)
        frequency = torch.hypot(down[:, None], across[None, :]).clamp(min=1 / size)
        smooth = torch.fft.irfft2(torch.fft.rfft2(torch.randn(1, channels, size, size)) / frequency, s=(size, size))
        return (smooth - smooth.mean()) / smooth.std()

    return make


def from_timm(name: str, size: int = 224) -> Built:
    """A network of timm with seeded weights, and an image."""
    import timm

    return seeded(lambda: timm.create_model(name, pretrained=False), image(size))


def from_torchvision(name: str, size: int = 224) -> Built:
    """A network of torchvision with seeded weights, and an image."""
    from torchvision.models import get_model

    return seeded(lambda: get_model(name, weights=None), image(size))


def tokens(count: int, vocabulary: int) -> Callable[[], Tensor]:
    """Makes random tokens ``(1, count)``, int64, each below `vocabulary`."""
    return lambda: torch.randint(0, vocabulary, (1, count))


class FirstOutput(nn.Module):
    """A network reduced to the first tensor of its result, which may be a sequence or a mapping."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """The first tensor of what the network makes of `x`."""
        result: Any = self.network(x)
        while not isinstance(result, Tensor):
            result = result[0] if isinstance(result, tuple | list) else next(iter(result.values()))
        return result
