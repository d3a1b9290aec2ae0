"""``tvmopt targets``."""

from __future__ import annotations

import platform

from tests.conftest import RunTvmopt
from tvmopt.schedules.target import TARGETS


def test_lists_all_and_this_machine(run_tvmopt: RunTvmopt) -> None:
    done = run_tvmopt("targets")
    assert done.returncode == 0
    for name, meaning in TARGETS.items():
        assert any(line.split() == [name, *meaning.split()] for line in done.stdout.splitlines())
    assert "Facts of llvm:" in done.stdout
    assert platform.machine() in done.stdout


def test_facts_of_another(run_tvmopt: RunTvmopt) -> None:
    done = run_tvmopt("targets", "armv7", "--threads", "3")
    assert done.returncode == 0
    assert "armv7l-neon32-3t" in done.stdout
    assert '"mfloat-abi": "hard"' in done.stdout


def test_unknown(run_tvmopt: RunTvmopt) -> None:
    done = run_tvmopt("targets", "arm7")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("tvmopt: error: unknown target 'arm7'; did you mean armv7")
    assert done.stderr.count("\n") == 1
