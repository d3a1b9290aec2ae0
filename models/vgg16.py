"""VGG-16 (Simonyan and Zisserman, 2014, arXiv:1409.1556), laid out as torchvision's: 138,357,544 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# channels of each stage's convolutions; a pooling ends the stage
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def features() -> nn.Sequential:
    """Convolutions of 3x3 with ReLU, and a pooling after each stage."""
    layers: list[nn.Module] = []
    channels = 3
    for stage in STAGES:
        for channels_out in stage:
            layers += [nn.Conv2d(channels, channels_out, 3, padding=1), nn.ReLU(inplace=True)]
            channels = channels_out
        layers.append(nn.MaxPool2d(2, stride=2))
    return nn.Sequential(*layers)


class VGG16(nn.Module):
    """The classifier for 1000 classes, configuration D, without batch normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.features = features()
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(4096, 1000),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W) to scores (N, 1000)."""
        scores: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return scores


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 224, 224), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # Initialised only below: drawing 138 million weights in the constructors, too, would take seconds.
        with torch.device("meta"):
            model = VGG16()
        model.to_empty(device="cpu")
        for layer in model.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):
                # There is no normalisation: He's initialisation alone keeps activations of order one.
                nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.normal_(layer.bias, std=0.1)
        return model.eval(), (torch.randn(1, 3, 224, 224),)
