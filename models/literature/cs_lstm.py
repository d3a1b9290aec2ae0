"""CS-LSTM: where the cars around will go. Deo and Trivedi, "Convolutional Social Pooling" (2018, arXiv:1805.06771).

An LSTM encodes three seconds of each car's path (16 positions at 5 Hz). The neighbours' encodings are laid out on a
grid of 13×3 cells around the ego car, and two convolutions and a pooling read it. A second LSTM decodes five seconds
(25 steps) for each of the six manoeuvres: keep the lane, change left, change right; brake or not. 194,954 parameters.
Sizes and layer names follow the authors' program, so its weights load.

The number of neighbours is fixed in each network, and so is which cells they stand in; the authors' program takes a
mask with each call.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HISTORY, FUTURE = 16, 25
GRID = (13, 3)
EMBEDDED, ENCODED, DECODED, DYNAMICS = 32, 64, 128, 32
SOCIAL, POOLED = 64, 16
LATERAL, LONGITUDINAL = 3, 2
SOCIAL_EMBEDDED = (GRID[0] - 4 + 1) // 2 * POOLED


class ConvolutionalSocialPooling(nn.Module):
    """The network at inference, with all manoeuvres.

    Args:
        occupied: whether a neighbour stands in each cell of the grid, bool (3, 13); neighbours come in this order.
    """

    occupied: Tensor

    def __init__(self, occupied: Tensor) -> None:
        super().__init__()
        self.register_buffer("occupied", occupied[None, :, :, None].repeat(1, 1, 1, ENCODED), persistent=False)
        self.ip_emb = nn.Linear(2, EMBEDDED)
        self.enc_lstm = nn.LSTM(EMBEDDED, ENCODED)
        self.dyn_emb = nn.Linear(ENCODED, DYNAMICS)
        self.soc_conv = nn.Conv2d(ENCODED, SOCIAL, 3)
        self.conv_3x1 = nn.Conv2d(SOCIAL, POOLED, (3, 1))
        self.soc_maxpool = nn.MaxPool2d((2, 1), padding=(1, 0))
        self.dec_lstm = nn.LSTM(SOCIAL_EMBEDDED + DYNAMICS + LATERAL + LONGITUDINAL, DECODED)
        self.op = nn.Linear(DECODED, 5)
        self.op_lat = nn.Linear(SOCIAL_EMBEDDED + DYNAMICS, LATERAL)
        self.op_lon = nn.Linear(SOCIAL_EMBEDDED + DYNAMICS, LONGITUDINAL)
        self.leaky_relu = nn.LeakyReLU(0.1)

    def forward(self, hist: Tensor, nbrs: Tensor) -> tuple[Tensor, ...]:
        """Paths of the ego car (16, 1, 2) and its neighbours (16, vehicles, 2), in feet from its position.

        Returns:
            Six futures (25, 1, 5), longitudinal manoeuvre by manoeuvre: mean, deviation (two each) and correlation of
            the position at each step; then the probabilities of the manoeuvres, lateral (1, 3), longitudinal (1, 2).
        """
        _, (ego, _) = self.enc_lstm(self.leaky_relu(self.ip_emb(hist)))
        ego = self.leaky_relu(self.dyn_emb(ego[0]))
        _, (encoded, _) = self.enc_lstm(self.leaky_relu(self.ip_emb(nbrs)))
        grid = torch.zeros(self.occupied.shape).masked_scatter(self.occupied, encoded[0])
        social = self.leaky_relu(self.soc_conv(grid.permute(0, 3, 2, 1)))
        social = self.soc_maxpool(self.leaky_relu(self.conv_3x1(social))).flatten(1)
        code = torch.cat((social, ego), 1)
        lateral = torch.softmax(self.op_lat(code), 1)
        longitudinal = torch.softmax(self.op_lon(code), 1)
        futures = []
        for along in range(LONGITUDINAL):
            for across in range(LATERAL):
                lat, lon = torch.zeros(1, LATERAL), torch.zeros(1, LONGITUDINAL)
                lat[:, across] = 1
                lon[:, along] = 1
                futures.append(self.decode(torch.cat((code, lat, lon), 1)))
        return (*futures, lateral, longitudinal)

    def decode(self, code: Tensor) -> Tensor:
        """A code with its manoeuvre (1, 117) to its future (25, 1, 5)."""
        steps, _ = self.dec_lstm(code.repeat(FUTURE, 1, 1))
        future = self.op(steps)
        mean, deviation, correlation = future[..., :2], future[..., 2:4], future[..., 4:]
        return torch.cat((mean, torch.exp(deviation), torch.tanh(correlation)), 2)


def _network(vehicles: int) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        cells = torch.zeros(GRID[0] * GRID[1], dtype=torch.bool)
        others = [cell for cell in range(len(cells)) if cell != len(cells) // 2]  # the ego car is in the middle
        cells[torch.tensor(others)[torch.randperm(len(others))[:vehicles]]] = True
        model = ConvolutionalSocialPooling(cells.reshape(GRID[1], GRID[0])).eval()
        return model, (_paths(1), _paths(vehicles))


def _paths(vehicles: int) -> Tensor:
    """Cars' paths, at speeds about the ego car's, that end within 90 feet of it."""
    speeds = torch.randn(1, vehicles, 2) * torch.tensor([0.5, 5.0])
    ends = (torch.rand(1, vehicles, 2) - 0.5) * torch.tensor([36.0, 180.0])
    return ends + speeds * torch.linspace(-3, 0, HISTORY)[:, None, None]


def vehicles_6() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """The network for six neighbours with seeded weights, in eval mode, and example paths, float32."""
    return _network(6)


def vehicles_16() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """The network for 16 neighbours, likewise."""
    return _network(16)


def vehicles_38() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """The network for 38 neighbours, every cell but the ego car's."""
    return _network(38)


build = vehicles_38
