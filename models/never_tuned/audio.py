"""Sound and sequences: convolutions of one dimension, recurrent layers, a transformer's encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from seeded import Built, FirstOutput, seeded


def wav2vec2_features() -> Built:
    """The convolutions of wav2vec 2.0 (arXiv:2006.11477) on three seconds at 16 kHz."""
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    return seeded(lambda: Wav2Vec2Model(Wav2Vec2Config()).feature_extractor, lambda: torch.randn(1, 48000))


def whisper_tiny_encoder() -> Built:
    """Whisper-tiny's encoder (arXiv:2212.04356) on thirty seconds: 80 mel bands, 3000 frames."""
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(encoder_layers=4, encoder_attention_heads=6, d_model=384, encoder_ffn_dim=1536)
    return seeded(lambda: FirstOutput(WhisperModel(config).encoder), lambda: torch.randn(1, 80, 3000))


class SeparationBlock(nn.Module):
    """A block of Conv-TasNet: 1×1, depthwise with dilation, 1×1, each with its normalisation over all positions."""

    def __init__(self, channels: int, hidden: int, dilation: int) -> None:
        super().__init__()
        self.expand, self.project = nn.Conv1d(channels, hidden, 1), nn.Conv1d(hidden, channels, 1)
        self.depthwise = nn.Conv1d(hidden, hidden, 3, padding=dilation, dilation=dilation, groups=hidden)
        self.first, self.second = nn.GroupNorm(1, hidden), nn.GroupNorm(1, hidden)
        self.prelus = nn.ModuleList(nn.PReLU() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, channels, L)`` to the same shape."""
        y = self.first(self.prelus[0](self.expand(x)))
        return x + self.project(self.second(self.prelus[1](self.depthwise(y))))


class ConvTasNet(nn.Module):
    """Separates two speakers (arXiv:1809.07454), with fewer channels than the original."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv1d(1, 256, 16, stride=8, bias=False)
        self.norm, self.bottleneck = nn.GroupNorm(1, 256), nn.Conv1d(256, 128, 1)
        self.blocks = nn.Sequential(*(SeparationBlock(128, 256, 2**i) for _ in range(2) for i in range(6)))
        self.masks = nn.Conv1d(128, 512, 1)
        self.decoder = nn.ConvTranspose1d(256, 1, 16, stride=8, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """A mixture ``(N, 1, L)`` to two voices ``(2 N, 1, L)``."""
        waves = functional.relu(self.encoder(x))
        masks = torch.sigmoid(self.masks(self.blocks(self.bottleneck(self.norm(waves)))))
        voices = masks.reshape(2, 256, -1) * waves
        y: Tensor = self.decoder(voices)
        return y


def conv_tasnet_small() -> Built:
    """Conv-TasNet on one second at 8 kHz."""
    return seeded(ConvTasNet, lambda: torch.randn(1, 1, 8000))


def m5_audio() -> Built:
    """M5 (arXiv:1610.00087): classifies one second at 8 kHz."""

    def make() -> nn.Module:
        sizes = [(1, 32, 80, 16), (32, 32, 3, 1), (32, 64, 3, 1), (64, 64, 3, 1)]
        layers: list[nn.Module] = []
        for inside, outside, kernel, stride in sizes:
            conv = nn.Conv1d(inside, outside, kernel, stride=stride)
            layers += [conv, nn.BatchNorm1d(outside), nn.ReLU(), nn.MaxPool1d(4)]
        head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 35), nn.LogSoftmax(dim=-1)]
        return nn.Sequential(*layers, *head)

    return seeded(make, lambda: torch.randn(1, 1, 8000))


class CausalBlock(nn.Module):
    """A block of a temporal convolutional network; the end of what padding adds is cut off."""

    def __init__(self, inside: int, outside: int, dilation: int) -> None:
        super().__init__()
        self.cut = 2 * dilation
        self.convs = nn.ModuleList(
            weight_norm(nn.Conv1d(channels, outside, 3, padding=self.cut, dilation=dilation))
            for channels in (inside, outside)
        )
        self.side = nn.Conv1d(inside, outside, 1) if inside != outside else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``(N, inside, L)`` to ``(N, outside, L)``."""
        y = x
        for conv in self.convs:
            y = functional.relu(conv(y)[:, :, : -self.cut])
        return functional.relu(y + self.side(x))


def tcn() -> Built:
    """A temporal convolutional network (arXiv:1803.01271) with six levels, on 256 steps."""

    def make() -> nn.Module:
        sizes = [2, *[50] * 6]
        blocks = [CausalBlock(sizes[i], sizes[i + 1], 2**i) for i in range(6)]
        return nn.Sequential(*blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(50, 10))

    return seeded(make, lambda: torch.randn(1, 2, 256))


class TextReader(nn.Module):
    """CRNN (arXiv:1507.05717): reads a line of text by convolutions, then an LSTM in both directions."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        pools = [(2, 2), (2, 2), (2, 1), (4, 1)]
        for (inside, outside), pool in zip([(1, 64), (64, 128), (128, 256), (256, 256)], pools, strict=True):
            conv = nn.Conv2d(inside, outside, 3, padding=1)
            layers += [conv, nn.BatchNorm2d(outside), nn.ReLU(), nn.MaxPool2d(pool)]
        self.features = nn.Sequential(*layers)
        self.lstm = nn.LSTM(256, 128, bidirectional=True, batch_first=True)
        self.head = nn.Linear(256, 96)

    def forward(self, x: Tensor) -> Tensor:
        """Images ``(N, 1, 32, W)`` to scores of 96 signs ``(N, W / 4, 96)``."""
        columns = self.features(x).squeeze(2).transpose(1, 2)
        return functional.log_softmax(self.head(self.lstm(columns)[0]), dim=-1)


def crnn_lstm() -> Built:
    """CRNN on a line of 32 × 128 pixels."""
    return seeded(TextReader, lambda: torch.randn(1, 1, 32, 128))


class Enhancer(nn.Module):
    """Removes noise from spectra: convolutions along the frequencies, a GRU, transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(
            nn.Conv2d(i, o, (1, 5), stride=(1, 2), padding=(0, 2)) for i, o in [(1, 16), (16, 32), (32, 32)]
        )
        self.gru = nn.GRU(32 * 33, 128, batch_first=True)
        self.back = nn.Linear(128, 32 * 33)
        self.decoder = nn.ModuleList(
            nn.ConvTranspose2d(i, o, (1, 5), stride=(1, 2), padding=(0, 2)) for i, o in [(64, 32), (64, 16), (32, 1)]
        )

    def forward(self, x: Tensor) -> Tensor:
        """Magnitudes ``(N, 1, T, 257)`` to masks of that shape."""
        kept = []
        y = x
        for conv in self.encoder:
            y = functional.elu(conv(y))
            kept.append(y)
        steps, _ = self.gru(y.transpose(1, 2).flatten(2))
        y = self.back(steps).reshape(y.shape[0], -1, 32, 33).transpose(1, 2)
        for conv, skip in zip(self.decoder, reversed(kept), strict=True):
            y = conv(functional.elu(torch.cat([y, skip], 1)))
        return torch.sigmoid(y)


def gru_enhance() -> Built:
    """The enhancer on 63 frames of 257 frequencies."""
    return seeded(Enhancer, lambda: torch.randn(1, 1, 63, 257))
