"""How wide tables are drawn, and names shortened to fit them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
LAYER_WIDTH = 28


def make_console(pipe_width: int = PIPE_WIDTH) -> Console:
    """A console on standard output; on a pipe, where there is no terminal's width to keep to, `pipe_width` wide."""
    from rich.console import Console

    # Names of layers come from anywhere: what looks like markup in them is none.
    return Console(width=None if sys.stdout.isatty() else pipe_width, markup=False, emoji=False, highlight=False)


def shortened(layers: Sequence[str]) -> str:
    """The first layer's name, cut to `LAYER_WIDTH`, and how many more there are."""
    name = layers[0] if len(layers[0]) <= LAYER_WIDTH else f"{layers[0][: LAYER_WIDTH - 1]}…"
    return name if len(layers) == 1 else f"{name} +{len(layers) - 1}"
