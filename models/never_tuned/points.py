"""Point clouds and tables."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional

from seeded import Built, seeded


def _shared(*sizes: int) -> nn.Sequential:
    """Layers that treat every point alike."""
    layers: list[nn.Module] = []
    for inside, outside in itertools.pairwise(sizes):
        layers += [nn.Conv1d(inside, outside, 1), nn.BatchNorm1d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


class Alignment(nn.Module):
    """Predicts a matrix that turns the points into a common position."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.points = size, _shared(size, 64, 128, 1024)
        self.head = nn.Sequential(nn.Linear(1024, 256), nn.ReLU(), nn.Linear(256, size * size))

    def forward(self, x: Tensor) -> Tensor:
        """Points ``(N, size, P)`` to matrices ``(N, size, size)``."""
        matrix = self.head(self.points(x).amax(2)).reshape(-1, self.size, self.size)
        return matrix + torch.eye(self.size)


class PointNet(nn.Module):
    """PointNet (arXiv:1612.00593), which classifies clouds of points."""

    def __init__(self) -> None:
        super().__init__()
        self.turn, self.turn_features = Alignment(3), Alignment(64)
        self.first, self.second = _shared(3, 64), _shared(64, 128, 1024)
        self.head = nn.Sequential(nn.Linear(1024, 512), nn.ReLU(), nn.Linear(512, 40))

    def forward(self, x: Tensor) -> Tensor:
        """Points ``(N, 3, P)`` to log probabilities of 40 classes."""
        x = (x.transpose(1, 2) @ self.turn(x)).transpose(1, 2)
        x = self.first(x)
        x = (x.transpose(1, 2) @ self.turn_features(x)).transpose(1, 2)
        return functional.log_softmax(self.head(self.second(x).amax(2)), dim=-1)


def pointnet() -> Built:
    """PointNet on 1024 points."""
    return seeded(PointNet, lambda: torch.randn(1, 3, 1024))


class EdgeConvolution(nn.Module):
    """DGCNN's layer (arXiv:1801.07829): a maximum over each point's nearest neighbours."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2 * inside, outside, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Points ``(1, inside, P)`` to ``(1, outside, P)``."""
        points = x.transpose(1, 2)
        square = (points * points).sum(2, keepdim=True)
        distance = square + square.transpose(1, 2) - 2 * points @ x
        nearest = (-distance).topk(20, dim=2).indices
        around = points[0][nearest[0]].permute(2, 0, 1)[None]
        here = x[:, :, :, None].expand_as(around)
        return functional.leaky_relu(self.conv(torch.cat([around - here, here], 1)), 0.2).amax(3)


def dgcnn_edge() -> Built:
    """Two layers of DGCNN on 512 points."""

    def make() -> nn.Module:
        head = [nn.Conv1d(64, 256, 1), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(256, 40)]
        return nn.Sequential(EdgeConvolution(3, 64), EdgeConvolution(64, 64), *head)

    return seeded(make, lambda: torch.randn(1, 3, 512))


class Table(nn.Module):
    """A network on rows of a table: embeddings of categories beside numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(20, 8) for _ in range(8))
        self.layers = nn.Sequential(nn.Linear(8 * 8 + 10, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.head = nn.Linear(64, 1)

    def forward(self, categories: Tensor, numbers: Tensor) -> Tensor:
        """Categories ``(N, 8)``, int64, and numbers ``(N, 10)`` to scores ``(N, 1)``."""
        parts = [table(categories[:, i]) for i, table in enumerate(self.embeddings)]
        y: Tensor = self.head(self.layers(torch.cat([*parts, numbers], 1)))
        return y


def tabular_mlp() -> Built:
    """One row with eight categories and ten numbers."""
    return seeded(Table, lambda: torch.randint(0, 20, (1, 8)), lambda: torch.randn(1, 10))
