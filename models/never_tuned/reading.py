"""Reading text: a recogniser of the lines that a detector found."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from seeded import Built, image, seeded

CHARACTERS = 6625
"""Classes of each place in a line: the characters of PP-OCR's dictionary, and none."""
STAGES = (
    ((3, 32, 1, False),),
    ((3, 64, 1, False), (3, 64, 1, False)),
    ((3, 128, (2, 1), False), (3, 128, 1, False)),
    ((3, 240, (1, 2), False), *[(5, 240, 1, False)] * 4),
    ((5, 480, (2, 1), True), (5, 480, 1, True), (5, 480, (2, 1), False), (5, 480, 1, False)),
)
"""Kernel, output channels, stride, and whether channels are weighted: the blocks of PP-LCNetV3 at a scale of 0.95."""


def _conv(inputs: int, outputs: int, kernel: tuple[int, int] = (1, 1)) -> nn.Sequential:
    pads = (kernel[0] // 2, kernel[1] // 2)
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, 1, pads, bias=False), nn.BatchNorm2d(outputs), nn.SiLU())


class Weighted(nn.Module):
    """Squeeze-and-excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 4
        layers = [nn.Conv2d(channels, inner, 1), nn.ReLU(), nn.Conv2d(inner, channels, 1), nn.Hardsigmoid()]
        self.weights = nn.Sequential(nn.AdaptiveAvgPool2d(1), *layers)

    def forward(self, x: Tensor) -> Tensor:
        """Maps to maps of the same shape."""
        return x * self.weights(x)


def _block(inputs: int, kernel: int, outputs: int, stride: int | tuple[int, int], weighted: bool) -> nn.Sequential:
    """A depthwise convolution, perhaps weighted channels, and a 1×1 convolution."""
    depthwise = nn.Conv2d(inputs, inputs, kernel, stride, kernel // 2, groups=inputs, bias=False)
    layers: list[nn.Module] = [depthwise, nn.BatchNorm2d(inputs), nn.Hardswish()]
    if weighted:
        layers.append(Weighted(inputs))
    return nn.Sequential(*layers, nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.Hardswish())


class Mixing(nn.Module):
    """A transformer's block on the places of a line, with normalisation first."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.SiLU(), nn.Linear(2 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Sequences ``(N, places, channels)`` to the same shape."""
        n, places, channels = x.shape
        qkv = self.qkv(self.first(x)).reshape(n, places, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        scores = (query * (channels // self.heads) ** -0.5) @ key.transpose(-2, -1)
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(n, places, channels)
        x = x + self.out(mixed)
        return x + self.mlp(self.second(x))


class TextRecognizer(nn.Module):
    """Reads a line as PP-OCRv4 does: PP-LCNetV3, SVTR's mixing of places (arXiv:2205.00159), CTC's head."""

    def __init__(self) -> None:
        super().__init__()
        channels = 16
        layers: list[nn.Module] = [nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels)]
        for kernel, outputs, stride, weighted in (block for stage in STAGES for block in stage):
            layers.append(_block(channels, kernel, outputs, stride, weighted))
            channels = outputs
        self.backbone = nn.Sequential(*layers, nn.AvgPool2d((3, 2)))
        self.narrow = nn.Sequential(_conv(channels, 60, (1, 3)), _conv(60, 120))
        self.mixing = nn.Sequential(Mixing(120, 8), Mixing(120, 8), nn.LayerNorm(120))
        self.widen = _conv(120, channels)
        self.join = nn.Sequential(_conv(2 * channels, 60, (1, 3)), _conv(60, 120))
        self.head = nn.Linear(120, CHARACTERS)

    def forward(self, x: Tensor) -> Tensor:
        """Lines ``(N, 3, 48, W)`` to the probabilities of the characters at ``W / 8`` places."""
        maps = self.backbone(x)
        narrow = self.narrow(maps)
        mixed = self.mixing(narrow.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(narrow.shape)
        y: Tensor = self.join(torch.cat((maps, self.widen(mixed)), 1))
        scores: Tensor = self.head(y.squeeze(2).transpose(1, 2))
        return scores.softmax(-1)


def text_recognizer() -> Built:
    """The recogniser of a line of 48 × 320 pixels."""
    return seeded(TextRecognizer, lambda: image(320)()[:, :, :48])
