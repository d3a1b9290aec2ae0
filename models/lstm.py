"""A sequence classifier: an LSTM of two layers, and a dense layer on its last step. 858,634 parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FEATURES, HIDDEN, CLASSES, STEPS = 64, 256, 10, 32


class SequenceClassifier(nn.Module):
    """Sequences of 64 features to scores of 10 classes; the LSTM's states begin at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, num_layers=2, batch_first=True)
        self.fc = nn.Linear(HIDDEN, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Sequences (N, T, 64) to scores (N, 10)."""
        steps, _ = self.lstm(x)
        scores: Tensor = self.fc(steps[:, -1])
        return scores


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The network with seeded weights, in eval mode, and one sequence (1, 32, 64), float32.

    PyTorch's own initialisation (uniform within 1/sqrt(256)) keeps the gates away from saturation.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SequenceClassifier()
        return model.eval(), (torch.randn(1, STEPS, FEATURES),)
