"""DenseNet-121 (Huang et al., 2016, arXiv:1608.06993), laid out as torchvision's: 7,978,856 parameters."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from seeding import initialise_convolutions, settle_statistics

GROWTH = 32
"""Channels that each layer adds."""

BOTTLENECK = 4 * GROWTH
"""Channels between a layer's two convolutions."""

BLOCKS = (6, 12, 24, 16)
"""Layers of each block."""


class DenseLayer(nn.Module):
    """Normalises its input, narrows it 1x1 and filters it 3x3, to `GROWTH` channels."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels_in, BOTTLENECK, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        """All earlier maps of the block, concatenated, to (N, GROWTH, H, W)."""
        x = self.conv1(self.relu1(self.norm1(torch.cat(features, 1))))
        out: Tensor = self.conv2(self.relu2(self.norm2(x)))
        return out


class DenseBlock(nn.ModuleDict):
    """Layers that each read the outputs of all earlier ones."""

    def __init__(self, channels_in: int, layers: int) -> None:
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(channels_in + i * GROWTH))

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_in + layers * GROWTH, H, W)."""
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


def transition(channels_in: int) -> nn.Sequential:
    """Halves the channels, rows and columns."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(channels_in),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels_in, channels_in // 2, 1, bias=False),
            pool=nn.AvgPool2d(2, stride=2),
        )
    )


class DenseNet121(nn.Module):
    """The classifier for 1000 classes."""

    def __init__(self) -> None:
        super().__init__()
        channels = 64
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(channels),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        for i, count in enumerate(BLOCKS, start=1):
            layers[f"denseblock{i}"] = DenseBlock(channels, count)
            channels += count * GROWTH
            if i < len(BLOCKS):
                layers[f"transition{i}"] = transition(channels)
                channels //= 2
        layers["norm5"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(layers)
        self.classifier = nn.Linear(channels, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to scores (N, 1000)."""
        x = nn.functional.relu(self.features(x))
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        scores: Tensor = self.classifier(torch.flatten(x, 1))
        return scores


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 224, 224), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DenseNet121()
        # Some convolutions are concatenated before normalisation, so each keeps the magnitude of its inputs.
        initialise_convolutions(model, "fan_in")
        settle_statistics(model, 128)
        return model, (torch.randn(1, 3, 224, 224),)
