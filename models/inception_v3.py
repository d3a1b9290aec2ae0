"""Inception v3 (Szegedy et al., 2015, arXiv:1512.00567), laid out as torchvision's: 27,161,264 parameters.

3,326,696 of them belong to the auxiliary classifier. Only training uses it; it is here so that a published
``state_dict`` loads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from seeding import initialise_convolutions, lift_normalised, settle_statistics


class ConvNormRelu(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(channels_out, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        """Maps to maps."""
        return functional.relu(self.bn(self.conv(x)), inplace=True)


def average(x: Tensor) -> Tensor:
    """The mean of each 3x3 neighbourhood; zeros beyond the border are included."""
    return functional.avg_pool2d(x, kernel_size=3, stride=1, padding=1)


class InceptionA(nn.Module):
    """1x1, 5x5, double 3x3 and pooling, side by side."""

    def __init__(self, channels_in: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNormRelu(channels_in, 64, 1)
        self.branch5x5_1 = ConvNormRelu(channels_in, 48, 1)
        self.branch5x5_2 = ConvNormRelu(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = ConvNormRelu(channels_in, 64, 1)
        self.branch3x3dbl_2 = ConvNormRelu(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNormRelu(96, 96, 3, padding=1)
        self.branch_pool = ConvNormRelu(channels_in, pooled, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, 224 + pooled, H, W)."""
        fives = self.branch5x5_2(self.branch5x5_1(x))
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), fives, threes, self.branch_pool(average(x))], 1)


class InceptionB(nn.Module):
    """Halves the rows and columns: 3x3, double 3x3 and pooling, side by side."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNormRelu(channels_in, 384, 3, stride=2)
        self.branch3x3dbl_1 = ConvNormRelu(channels_in, 64, 1)
        self.branch3x3dbl_2 = ConvNormRelu(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNormRelu(96, 96, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, 480 + channels_in, (H - 1) / 2, (W - 1) / 2)."""
        threes = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), threes, functional.max_pool2d(x, kernel_size=3, stride=2)], 1)


class InceptionC(nn.Module):
    """1x1, 7x7 and double 7x7 (each split into 1x7 and 7x1) and pooling, side by side."""

    def __init__(self, channels_in: int, inner: int) -> None:
        super().__init__()
        row, column = {"kernel": (1, 7), "padding": (0, 3)}, {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = ConvNormRelu(channels_in, 192, 1)
        self.branch7x7_1 = ConvNormRelu(channels_in, inner, 1)
        self.branch7x7_2 = ConvNormRelu(inner, inner, **row)
        self.branch7x7_3 = ConvNormRelu(inner, 192, **column)
        self.branch7x7dbl_1 = ConvNormRelu(channels_in, inner, 1)
        self.branch7x7dbl_2 = ConvNormRelu(inner, inner, **column)
        self.branch7x7dbl_3 = ConvNormRelu(inner, inner, **row)
        self.branch7x7dbl_4 = ConvNormRelu(inner, inner, **column)
        self.branch7x7dbl_5 = ConvNormRelu(inner, 192, **row)
        self.branch_pool = ConvNormRelu(channels_in, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, 768, H, W)."""
        sevens = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), sevens, double, self.branch_pool(average(x))], 1)


class InceptionD(nn.Module):
    """Halves the rows and columns: 3x3, 7x7 with 3x3 and pooling, side by side."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNormRelu(channels_in, 192, 1)
        self.branch3x3_2 = ConvNormRelu(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvNormRelu(channels_in, 192, 1)
        self.branch7x7x3_2 = ConvNormRelu(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = ConvNormRelu(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = ConvNormRelu(192, 192, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, 512 + channels_in, (H - 1) / 2, (W - 1) / 2)."""
        threes = self.branch3x3_2(self.branch3x3_1(x))
        sevens = self.branch7x7x3_2(self.branch7x7x3_1(x))
        sevens = self.branch7x7x3_4(self.branch7x7x3_3(sevens))
        return torch.cat([threes, sevens, functional.max_pool2d(x, kernel_size=3, stride=2)], 1)


class InceptionE(nn.Module):
    """1x1, 3x3 and double 3x3 that each fork into 1x3 and 3x1, and pooling, side by side."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNormRelu(channels_in, 320, 1)
        self.branch3x3_1 = ConvNormRelu(channels_in, 384, 1)
        self.branch3x3_2a = ConvNormRelu(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = ConvNormRelu(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = ConvNormRelu(channels_in, 448, 1)
        self.branch3x3dbl_2 = ConvNormRelu(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = ConvNormRelu(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = ConvNormRelu(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = ConvNormRelu(channels_in, 192, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, 2048, H, W)."""
        threes = self.branch3x3_1(x)
        threes = torch.cat([self.branch3x3_2a(threes), self.branch3x3_2b(threes)], 1)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        double = torch.cat([self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)], 1)
        return torch.cat([self.branch1x1(x), threes, double, self.branch_pool(average(x))], 1)


class Auxiliary(nn.Module):
    """The auxiliary classifier, for training; it never runs here."""

    def __init__(self, channels_in: int) -> None:
        super().__init__()
        self.conv0 = ConvNormRelu(channels_in, 128, 1)
        self.conv1 = ConvNormRelu(128, 768, 5)
        self.fc = nn.Linear(768, 1000)


class InceptionV3(nn.Module):
    """The classifier for 1000 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvNormRelu(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = ConvNormRelu(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvNormRelu(32, 64, 3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = ConvNormRelu(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvNormRelu(80, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = InceptionA(192, pooled=32)
        self.Mixed_5c = InceptionA(256, pooled=64)
        self.Mixed_5d = InceptionA(288, pooled=64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, inner=128)
        self.Mixed_6c = InceptionC(768, inner=160)
        self.Mixed_6d = InceptionC(768, inner=160)
        self.Mixed_6e = InceptionC(768, inner=192)
        self.AuxLogits = Auxiliary(768)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, 3, H, W), H and W at least 75, to scores (N, 1000)."""
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(x))))
        x = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))
        x = self.Mixed_6e(self.Mixed_6d(x))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        scores: Tensor = self.fc(torch.flatten(self.dropout(self.avgpool(x)), 1))
        return scores


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 299, 299), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = InceptionV3()
        initialise_convolutions(model, "fan_out")
        lift_normalised(model)
        settle_statistics(model, 299)
        return model, (torch.randn(1, 3, 299, 299),)
