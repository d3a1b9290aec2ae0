"""A small convolutional network, trained in seconds on scikit-learn's handwritten digits: for tests of accuracy."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

TEST_IMAGES = 360
"""The last fifth of the 1797 images is never trained on."""


def data() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images (1437, 1, 8, 8), float32 from 0 to 1, and labels; then the same for testing."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(digits.target, dtype=torch.int64)
    return images[:-TEST_IMAGES], labels[:-TEST_IMAGES], images[-TEST_IMAGES:], labels[-TEST_IMAGES:]


def network() -> nn.Sequential:
    """Images (N, 1, 8, 8) to scores (N, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def build() -> tuple[nn.Module, tuple[Tensor]]:
    """The trained network in eval mode, and one test image (1, 1, 8, 8), float32."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one order of summation: the same weights on any number of cores
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return trained(network())
    finally:
        torch.set_num_threads(threads)


def trained(model: nn.Module, epochs: int = 12, batch: int = 64) -> tuple[nn.Module, tuple[Tensor]]:
    """Trains `model` with Adam; returns it in eval mode, and one test image."""
    images, labels, test_images, _ = data()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(batch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    return model.eval().requires_grad_(False), (test_images[:1],)
