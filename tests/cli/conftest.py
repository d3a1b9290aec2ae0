"""Fixtures for tests of several commands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tvmopt.benchmarks.machine import roofline
from tvmopt.benchmarks.machine.roofline import Roofline

THREADS = 1


@pytest.fixture
def measured(tmp_path: Path) -> Mapping[str, str]:
    """An environment in which the machine's roofline is already cached."""
    cache = tmp_path / "cache"
    machine = roofline._machine(THREADS)
    text = json.dumps(machine)
    name = f"roofline-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    (cache / "tvmopt").mkdir(parents=True)
    kept = Roofline(THREADS, 1e11, ((1 << 15, 1e11), (1 << 30, 1e10)))
    (cache / "tvmopt" / name).write_text(json.dumps({"machine": machine, "roofline": kept.to_json()}))
    return {"XDG_CACHE_HOME": str(cache)}
