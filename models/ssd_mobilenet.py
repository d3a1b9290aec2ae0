"""MobileNet-SSD 300: MobileNet (Howard et al., 2017, arXiv:1704.04861) under SSD (Liu et al., 2015, arXiv:1512.02325).

The classic detector for the 20 classes of Pascal VOC and the background, after its Caffe model: 13 blocks of depthwise
and pointwise convolutions, eight more convolutions for larger objects, 1x1 heads on six maps, 1917 boxes. With batch
normalisation folded it has 5,783,417 parameters. It leaves out the last two steps, which have no weights: decoding the
offsets against the prior boxes, and suppressing overlapping boxes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seeding import lift_normalised, settle_statistics

CLASSES = 21

# channels out and stride of each depthwise separable block
BLOCKS = (
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1)),
)

FIRST_HEAD = 10
"""The block whose output (19x19, 512 channels) the first head reads."""

# channels of the 1x1 and the strided 3x3 convolution of each extra step
EXTRAS = ((256, 512), (128, 256), (128, 256), (64, 128))

# channels of the six maps, and the boxes at each of their positions
HEADS = ((512, 3), (1024, 6), (512, 6), (256, 6), (256, 6), (128, 6))


def conv_norm_relu(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution that keeps the map's size (apart from its stride), batch normalisation, ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class Head(nn.Module):
    """Predicts offsets and class scores of the boxes at each position of a map."""

    def __init__(self, channels: int, boxes: int) -> None:
        super().__init__()
        self.offsets = nn.Conv2d(channels, 4 * boxes, 1)
        self.classes = nn.Conv2d(channels, CLASSES * boxes, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, channels, H, W) to (N, H * W * boxes, 4) and (N, H * W * boxes, 21)."""
        offsets = self.offsets(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4))
        classes = self.classes(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, CLASSES))
        return offsets, classes


class MobileNetSSD(nn.Module):
    """The detector."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm_relu(3, 32, 3, stride=2)
        blocks: list[nn.Module] = []
        channels = 32
        for channels_out, stride in BLOCKS:
            depthwise = conv_norm_relu(channels, channels, 3, stride, groups=channels)
            blocks.append(nn.Sequential(depthwise, conv_norm_relu(channels, channels_out, 1)))
            channels = channels_out
        self.blocks = nn.ModuleList(blocks)
        extras: list[nn.Module] = []
        for narrow, wide in EXTRAS:
            extras.append(nn.Sequential(conv_norm_relu(channels, narrow, 1), conv_norm_relu(narrow, wide, 3, stride=2)))
            channels = wide
        self.extras = nn.ModuleList(extras)
        self.heads = nn.ModuleList(Head(*head) for head in HEADS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, 3, 300, 300) to box offsets (N, 1917, 4) and class probabilities (N, 1917, 21)."""
        x = self.stem(x)
        maps: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == FIRST_HEAD:
                maps.append(x)
        maps.append(x)
        for extra in self.extras:
            x = extra(x)
            maps.append(x)
        found = [head(each) for head, each in zip(self.heads, maps, strict=True)]
        offsets = torch.cat([pair[0] for pair in found], 1)
        classes = torch.cat([pair[1] for pair in found], 1)
        return offsets, torch.softmax(classes, -1)


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one image (1, 3, 300, 300), float32."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MobileNetSSD()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    # A head: no normalisation follows it.
                    nn.init.kaiming_normal_(layer.weight, mode="fan_in", nonlinearity="linear")
                    nn.init.normal_(layer.bias, std=0.1)
        lift_normalised(model)
        settle_statistics(model, 300)
        return model, (torch.randn(1, 3, 300, 300),)
