"""Where the files are that come with tvmopt and are no code: example networks and tuning records."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def shipped(name: Literal["models", "tuning_logs"]) -> Path:
    """The folder `name` that came with tvmopt: the installed package's, or the checkout's."""
    support = Path(__file__).resolve().parent
    # Installed, pipeline/ stands inside of the package, as models/ does; in a checkout they stand side by side at the
    # top. So the way from one to the other is the same.
    return support.parents[1] / name
