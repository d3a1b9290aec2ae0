"""MobileNetV3-Large (Howard et al., 2019, arXiv:1905.02244), laid out as torchvision's: 5,483,032 parameters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from seeding import initialise_convolutions, settle_statistics


class Block(NamedTuple):
    """One block: kernel, hidden channels, channels out, whether it has gates, activation, stride."""

    kernel: int
    hidden: int
    channels_out: int
    gated: bool
    activation: type[nn.Module]
    stride: int


BLOCKS = (
    Block(3, 16, 16, False, nn.ReLU, 1),
    Block(3, 64, 24, False, nn.ReLU, 2),
    Block(3, 72, 24, False, nn.ReLU, 1),
    Block(5, 72, 40, True, nn.ReLU, 2),
    Block(5, 120, 40, True, nn.ReLU, 1),
    Block(5, 120, 40, True, nn.ReLU, 1),
    Block(3, 240, 80, False, nn.Hardswish, 2),
    Block(3, 200, 80, False, nn.Hardswish, 1),
    Block(3, 184, 80, False, nn.Hardswish, 1),
    Block(3, 184, 80, False, nn.Hardswish, 1),
    Block(3, 480, 112, True, nn.Hardswish, 1),
    Block(3, 672, 112, True, nn.Hardswish, 1),
    Block(5, 672, 160, True, nn.Hardswish, 2),
    Block(5, 960, 160, True, nn.Hardswish, 1),
    Block(5, 960, 160, True, nn.Hardswish, 1),
)


def in_eights(channels: float) -> int:
    """The multiple of 8 nearest to `channels`, but at most a tenth below it."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def conv_norm(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution that keeps the map's size (apart from its stride), then batch normalisation."""
    return [
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out, eps=0.001, momentum=0.01),
    ]


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.ReLU()
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        gates: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return gates * x


class InvertedResidual(nn.Module):
    """Expand 1x1, filter each channel, gate it, project 1x1; with a shortcut where the shapes agree."""

    def __init__(self, channels_in: int, block: Block) -> None:
        super().__init__()
        hidden = block.hidden
        layers: list[nn.Module] = []
        if hidden != channels_in:
            layers.append(nn.Sequential(*conv_norm(channels_in, hidden, 1), block.activation(inplace=True)))
        depthwise = conv_norm(hidden, hidden, block.kernel, block.stride, groups=hidden)
        layers.append(nn.Sequential(*depthwise, block.activation(inplace=True)))
        if block.gated:
            layers.append(SqueezeExcitation(hidden, in_eights(hidden / 4)))
        layers.append(nn.Sequential(*conv_norm(hidden, block.channels_out, 1)))
        self.block = nn.Sequential(*layers)
        self.shortcut = block.stride == 1 and channels_in == block.channels_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H/stride, W/stride)."""
        out: Tensor = self.block(x)
        return out + x if self.shortcut else out


class MobileNetV3Large(nn.Module):
    """The classifier for 1000 classes, width 1.0."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(*conv_norm(3, 16, 3, stride=2), nn.Hardswish(inplace=True))]
        channels = 16
        for block in BLOCKS:
            layers.append(InvertedResidual(channels, block))
            channels = block.channels_out
        layers.append(nn.Sequential(*conv_norm(channels, 6 * channels, 1), nn.Hardswish(inplace=True)))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(6 * channels, 1280),
            nn.Hardswish(inplace=True),
            nn.Dropout(0.2, inplace=True),
            nn.Linear(1280, 1000),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to scores (N, 1000)."""
        scores: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return scores


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 224, 224), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MobileNetV3Large()
        initialise_convolutions(model, "fan_in")
        settle_statistics(model, 224)
        return model, (torch.randn(1, 3, 224, 224),)
