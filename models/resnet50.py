"""ResNet-50 (He et al., 2015, arXiv:1512.03385), laid out as torchvision's: 25,557,032 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seeding import initialise_convolutions, settle_statistics

EXPANSION = 4
"""A block's output channels over its inner channels."""


class Bottleneck(nn.Module):
    """Narrow 1x1, filter 3x3, widen 1x1, beside a shortcut. The 3x3 has the stride, as in torchvision."""

    def __init__(self, channels_in: int, width: int, stride: int) -> None:
        super().__init__()
        channels_out = width * EXPANSION
        self.conv1 = nn.Conv2d(channels_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False), nn.BatchNorm2d(channels_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, 4 * width, H/stride, W/stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        out: Tensor = self.relu(self.bn3(self.conv3(x)) + shortcut)
        return out


def stage(channels_in: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    """Blocks of one width; the first takes the stride."""
    first = Bottleneck(channels_in, width, stride)
    return nn.Sequential(first, *(Bottleneck(width * EXPANSION, width, 1) for _ in range(blocks - 1)))


class ResNet50(nn.Module):
    """The classifier for 1000 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(64, 64, blocks=3, stride=1)
        self.layer2 = stage(256, 128, blocks=4, stride=2)
        self.layer3 = stage(512, 256, blocks=6, stride=2)
        self.layer4 = stage(1024, 512, blocks=3, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to scores (N, 1000)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        scores: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return scores


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 224, 224), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = ResNet50()
        initialise_convolutions(model, "fan_out")
        settle_statistics(model, 128)
        return model, (torch.randn(1, 3, 224, 224),)
