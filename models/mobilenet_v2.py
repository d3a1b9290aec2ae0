"""MobileNetV2 (Sandler et al., 2018, arXiv:1801.04381), laid out as torchvision's: 3,504,872 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seeding import initialise_convolutions, settle_statistics

# expansion of the channels, channels out, blocks, stride of the first block
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def conv_norm_relu6(
    channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution that keeps the map's size (apart from its stride), batch normalisation, ReLU6."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expand 1x1, filter each channel 3x3, project 1x1; with a shortcut where the shapes agree."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [conv_norm_relu6(channels_in, hidden, 1)]
        layers += [
            conv_norm_relu6(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
        ]
        self.conv = nn.Sequential(*layers)
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H/stride, W/stride)."""
        out: Tensor = self.conv(x)
        return x + out if self.shortcut else out


class MobileNetV2(nn.Module):
    """The classifier for 1000 classes, width 1.0."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm_relu6(3, 32, 3, stride=2)]
        channels = 32
        for expansion, channels_out, blocks, stride in STAGES:
            for block in range(blocks):
                layers.append(InvertedResidual(channels, channels_out, stride if block == 0 else 1, expansion))
                channels = channels_out
        layers.append(conv_norm_relu6(channels, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to scores (N, 1000)."""
        x = self.features(x)
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        x = torch.flatten(x, 1)
        scores: Tensor = self.classifier(x)
        return scores


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 224, 224), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MobileNetV2()
        initialise_convolutions(model, "fan_out")
        settle_statistics(model, 128)
        return model, (torch.randn(1, 3, 224, 224),)
