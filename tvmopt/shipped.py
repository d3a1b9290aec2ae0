"""Where the files are that come with tvmopt and are no code: example networks and tuning records."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import Literal


def shipped(name: Literal["models", "tuning_logs"]) -> Path:
    """The folder `name` that came with tvmopt: the checkout's, or the installation's."""
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / "setup.cfg").is_file():
        return checkout / name
    return Path(sysconfig.get_path("data"), "share", "tvmopt", name)
