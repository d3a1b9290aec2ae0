"""Where commands print: how wide that is, and how several layers are named in a cell."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 1000
"""Columns on a pipe or in a file, which have no width to keep to: each row of a table stays on one line."""


def make_console() -> Console:
    """A console on standard output, as wide as the terminal, or as ``COLUMNS`` says."""
    from rich.console import Console

    # A terminal may change its width meanwhile. Names of layers come from anywhere: what looks like markup is none.
    return Console(width=None if sys.stdout.isatty() else output_width(), markup=False, emoji=False, highlight=False)


def output_width() -> int:
    """Columns of standard output: what ``COLUMNS`` says, or the terminal; `PIPE_WIDTH` where there is neither."""
    return shutil.get_terminal_size((PIPE_WIDTH, 0)).columns


def first_of(layers: Sequence[str]) -> str:
    """The first layer's name, and how many more there are."""
    return layers[0] if len(layers) == 1 else f"{layers[0]} +{len(layers) - 1}"
