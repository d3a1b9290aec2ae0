"""SqueezeNet 1.1 (Iandola et al., 2016, arXiv:1602.07360), laid out as torchvision's: 1,235,496 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seeding import initialise_convolutions


class Fire(nn.Module):
    """Squeeze 1x1, then expand 1x1 and 3x3 side by side."""

    def __init__(self, channels_in: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels_in, squeeze, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, 2 * expand, H, W)."""
        x = self.squeeze_activation(self.squeeze(x))
        points = self.expand1x1_activation(self.expand1x1(x))
        fields = self.expand3x3_activation(self.expand3x3(x))
        return torch.cat([points, fields], 1)


class SqueezeNet(nn.Module):
    """The classifier for 1000 classes, version 1.1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, stride=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(64, 16, 64),
            Fire(128, 16, 64),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(128, 32, 128),
            Fire(256, 32, 128),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            Fire(256, 48, 192),
            Fire(384, 48, 192),
            Fire(384, 64, 256),
            Fire(512, 64, 256),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(0.5), nn.Conv2d(512, 1000, 1), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to scores (N, 1000)."""
        return torch.flatten(self.classifier(self.features(x)), 1)


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 224, 224), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SqueezeNet()
        # There is no normalisation: He's initialisation alone keeps activations of order one.
        initialise_convolutions(model, "fan_in")
        return model.eval(), (torch.randn(1, 3, 224, 224),)
