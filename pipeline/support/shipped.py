"""Finds the files other than code that come with tvmopt: example networks and tuning records."""

from __future__ import annotations

from pathlib import Path
from typing import Literal


def shipped(name: Literal["models", "tuning_logs"]) -> Path:
    """The folder `name` that came with tvmopt: the installed package's, or the checkout's."""
    support = Path(__file__).resolve().parent
    # pipeline/ and models/ are always side by side: inside an installed package, or at the top of a checkout.
    return support.parents[1] / name
