"""The network for cars' paths: its layout is the authors'."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

MODELS = Path(__file__).resolve().parents[2] / "models"
# The state dictionary that the authors' program makes, with its arguments at inference.
LAYOUT = {
    "ip_emb.weight": (32, 2),
    "ip_emb.bias": (32,),
    "enc_lstm.weight_ih_l0": (256, 32),
    "enc_lstm.weight_hh_l0": (256, 64),
    "enc_lstm.bias_ih_l0": (256,),
    "enc_lstm.bias_hh_l0": (256,),
    "dyn_emb.weight": (32, 64),
    "dyn_emb.bias": (32,),
    "soc_conv.weight": (64, 64, 3, 3),
    "soc_conv.bias": (64,),
    "conv_3x1.weight": (16, 64, 3, 1),
    "conv_3x1.bias": (16,),
    "dec_lstm.weight_ih_l0": (512, 117),
    "dec_lstm.weight_hh_l0": (512, 128),
    "dec_lstm.bias_ih_l0": (512,),
    "dec_lstm.bias_hh_l0": (512,),
    "op.weight": (5, 128),
    "op.bias": (5,),
    "op_lat.weight": (3, 112),
    "op_lat.bias": (3,),
    "op_lon.weight": (2, 112),
    "op_lon.bias": (2,),
}


def module() -> Any:
    spec = importlib.util.spec_from_file_location("example_cs_lstm", MODELS / "literature" / "cs_lstm.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize("vehicles", [6, 16, 38])
def test_the_layout_is_the_authors(vehicles: int) -> None:
    model, (ego, others) = getattr(module(), f"vehicles_{vehicles}")()
    assert {name: tuple(value.shape) for name, value in model.state_dict().items()} == LAYOUT
    assert sum(value.numel() for value in model.parameters()) == 194_954
    assert (ego.shape, others.shape) == ((16, 1, 2), (16, vehicles, 2))
    with torch.no_grad():
        outputs = model(ego, others)
    assert [tuple(x.shape) for x in outputs] == [(25, 1, 5)] * 6 + [(1, 3), (1, 2)]
    assert all(bool(torch.isfinite(x).all()) for x in outputs)


def test_each_neighbour_stands_in_the_cell_of_its_place() -> None:
    """A neighbour that moves alone changes only the cells of the grid that are its own."""
    model, _ = module().vehicles_6()
    cells = model.occupied[0, :, :, 0].nonzero()
    assert len(cells) == 6
    assert (1, 6) not in [tuple(cell) for cell in cells.tolist()]
    encoded = torch.arange(6.0)[:, None].expand(6, 64)
    grid = torch.zeros(model.occupied.shape).masked_scatter(model.occupied, encoded)
    assert [grid[0, row, column, 0].item() for row, column in cells.tolist()] == list(range(6))
