"""The console that commands print to, its width, and a short name for several layers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 1000
"""Columns on a pipe or in a file, which have no width limit: each row of a table stays on one line."""


def make_console() -> Console:
    """A console on standard output, as wide as the terminal or ``COLUMNS``."""
    from rich.console import Console

    # A terminal may change its width at any time. Layer names come from users' files and must not be read as markup.
    return Console(width=None if sys.stdout.isatty() else output_width(), markup=False, emoji=False, highlight=False)


def output_width() -> int:
    """Columns of standard output: ``COLUMNS``, else the terminal's width, else `PIPE_WIDTH`."""
    return shutil.get_terminal_size((PIPE_WIDTH, 0)).columns


def first_of(layers: Sequence[str]) -> str:
    """The first layer's name and the number of further layers."""
    return layers[0] if len(layers) == 1 else f"{layers[0]} +{len(layers) - 1}"
