"""Networks with transposed convolutions, pixel shuffles, large dilations or three dimensions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seeded import Built, FirstOutput, image, seeded


def pose_mobilenet_deconv() -> Built:
    """Simple Baselines for pose (arXiv:1804.06208): MobileNetV2, three transposed convolutions, 17 heat maps."""
    from torchvision.models import mobilenet_v2

    def make() -> nn.Module:
        layers: list[nn.Module] = [mobilenet_v2(weights=None).features]
        for inside in (1280, 256, 256):
            layers += [nn.ConvTranspose2d(inside, 256, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(256), nn.ReLU()]
        return nn.Sequential(*layers, nn.Conv2d(256, 17, 1))

    return seeded(make, lambda: torch.randn(1, 3, 256, 192))


def autoencoder_deconv() -> Built:
    """A convolutional autoencoder of images with 128 × 128 pixels."""

    def make() -> nn.Module:
        sizes = [(3, 32), (32, 64), (64, 128), (128, 256)]
        down = [m for i, o in sizes for m in (nn.Conv2d(i, o, 3, stride=2, padding=1), nn.ReLU())]
        up: list[nn.Module] = []
        for outside, inside in reversed(sizes):
            up += [nn.ConvTranspose2d(inside, outside, 3, stride=2, padding=1, output_padding=1), nn.ReLU()]
        return nn.Sequential(*down, *up[:-1], nn.Sigmoid())

    return seeded(make, image(128))


def fsrcnn_x2() -> Built:
    """FSRCNN (arXiv:1608.00367): doubles a grey image of 128 × 128 pixels."""

    def make() -> nn.Module:
        layers: list[nn.Module] = [nn.Conv2d(1, 56, 5, padding=2), nn.PReLU(56), nn.Conv2d(56, 12, 1), nn.PReLU(12)]
        for _ in range(4):
            layers += [nn.Conv2d(12, 12, 3, padding=1), nn.PReLU(12)]
        layers += [nn.Conv2d(12, 56, 1), nn.PReLU(56)]
        return nn.Sequential(*layers, nn.ConvTranspose2d(56, 1, 9, stride=2, padding=4, output_padding=1))

    return seeded(make, image(128, 1))


def espcn_x3() -> Built:
    """ESPCN (arXiv:1609.05158): triples a grey image of 128 × 128 pixels by a pixel shuffle."""

    def make() -> nn.Module:
        body = [nn.Conv2d(1, 64, 5, padding=2), nn.Tanh(), nn.Conv2d(64, 32, 3, padding=1), nn.Tanh()]
        return nn.Sequential(*body, nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3))

    return seeded(make, image(128, 1))


class UNet(nn.Module):
    """A small U-Net (arXiv:1505.04597) with transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        sizes = [3, 16, 32, 64, 128]
        self.down = nn.ModuleList(self._twice(sizes[i], sizes[i + 1]) for i in range(4))
        self.up = nn.ModuleList(nn.ConvTranspose2d(sizes[i + 1], sizes[i], 2, stride=2) for i in (3, 2, 1))
        self.joined = nn.ModuleList(self._twice(2 * sizes[i], sizes[i]) for i in (3, 2, 1))
        self.head = nn.Conv2d(16, 2, 1)

    @staticmethod
    def _twice(inside: int, outside: int) -> nn.Module:
        first, second = nn.Conv2d(inside, outside, 3, padding=1), nn.Conv2d(outside, outside, 3, padding=1)
        return nn.Sequential(first, nn.BatchNorm2d(outside), nn.ReLU(), second, nn.BatchNorm2d(outside), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, 3, H, W)`` to two maps of that size."""
        kept: list[Tensor] = []
        for step, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if step else x)
            kept.append(x)
        for up, joined, skip in zip(self.up, self.joined, reversed(kept[:-1]), strict=True):
            x = joined(torch.cat([skip, up(x)], 1))
        y: Tensor = self.head(x)
        return y


def unet_small() -> Built:
    """The U-Net on 128 × 128 pixels."""
    return seeded(UNet, image(128))


def deeplabv3_mobilenet() -> Built:
    """DeepLabV3 (arXiv:1706.05587) with MobileNetV3: dilations up to 36 on maps of 16 × 16."""
    from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

    return seeded(lambda: FirstOutput(deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None)), image(256))


def lraspp_mobilenet() -> Built:
    """Lite R-ASPP (arXiv:1905.02244) with MobileNetV3."""
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    return seeded(lambda: FirstOutput(lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)), image(256))


class VideoBlock(nn.Module):
    """A residual block in three dimensions."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv3d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, D, H, W)`` to the same shape."""
        return functional.relu(x + self.convs[1](functional.relu(self.convs[0](x))))


def resnet3d_small() -> Built:
    """A small residual network in three dimensions on eight frames of 56 × 56 pixels."""

    def make() -> nn.Module:
        stem = [nn.Conv3d(3, 32, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3)), nn.ReLU(), nn.MaxPool3d(2)]
        tail = [nn.Conv3d(32, 64, 3, stride=2, padding=1), nn.ReLU(), VideoBlock(64)]
        head = [nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(64, 10)]
        return nn.Sequential(*stem, VideoBlock(32), *tail, *head)

    return seeded(make, lambda: torch.randn(1, 3, 8, 56, 56))


def r2plus1d_18() -> Built:
    """R(2+1)D-18 (arXiv:1711.11248) on eight frames of 112 × 112 pixels."""
    from torchvision.models.video import r2plus1d_18 as make

    return seeded(lambda: make(weights=None), lambda: torch.randn(1, 3, 8, 112, 112))
