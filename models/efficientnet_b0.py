"""EfficientNet-B0 (Tan and Le, 2019, arXiv:1905.11946), laid out as torchvision's: 5,288,548 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seeding import initialise_convolutions, settle_statistics

# expansion of the channels, kernel, stride of the first block, channels out, blocks
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


def conv_norm(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """Convolution that keeps the map's size (apart from its stride), then batch normalisation."""
    return [
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
    ]


def conv_norm_silu(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """`conv_norm`, then SiLU (Swish)."""
    return nn.Sequential(*conv_norm(channels_in, channels_out, kernel, stride, groups), nn.SiLU(inplace=True))


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = nn.SiLU(inplace=True)
        self.scale_activation = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        gates: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return gates * x


class MBConv(nn.Module):
    """Expand 1x1, filter each channel, gate it, project 1x1; with a shortcut where the shapes agree."""

    def __init__(self, channels_in: int, channels_out: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        hidden = channels_in * expansion
        layers: list[nn.Module] = [] if expansion == 1 else [conv_norm_silu(channels_in, hidden, 1)]
        layers += [
            conv_norm_silu(hidden, hidden, kernel, stride, groups=hidden),
            SqueezeExcitation(hidden, max(1, channels_in // 4)),
            nn.Sequential(*conv_norm(hidden, channels_out, 1)),
        ]
        self.block = nn.Sequential(*layers)
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels_out, H/stride, W/stride). Stochastic depth is only for training."""
        out: Tensor = self.block(x)
        return out + x if self.shortcut else out


class EfficientNetB0(nn.Module):
    """The classifier for 1000 classes."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm_silu(3, 32, 3, stride=2)]
        channels = 32
        for expansion, kernel, stride, channels_out, blocks in STAGES:
            stage: list[nn.Module] = []
            for block in range(blocks):
                stage.append(MBConv(channels, channels_out, expansion, kernel, stride if block == 0 else 1))
                channels = channels_out
            layers.append(nn.Sequential(*stage))
        layers.append(conv_norm_silu(channels, 4 * channels, 1))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2, inplace=True), nn.Linear(4 * channels, 1000))

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to scores (N, 1000)."""
        scores: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return scores


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 224, 224), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = EfficientNetB0()
        initialise_convolutions(model, "fan_in")
        settle_statistics(model, 224)
        return model, (torch.randn(1, 3, 224, 224),)
