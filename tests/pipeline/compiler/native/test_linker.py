"""The compiler that links for each target."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvmopt.pipeline.compiler.native.linker import linker_of
from tvmopt.pipeline.errors import RuntimeMissingError
from tvmopt.schedules.target import parse_target


def test_the_linker_of_a_target(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("clang++", "arm-linux-gnueabihf-g++"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert linker_of(parse_target("armv7")) == "arm-linux-gnueabihf-g++"
    assert linker_of(parse_target("llvm")) == linker_of(parse_target("cuda")) == "clang++"
    with pytest.raises(RuntimeMissingError, match="apt-get install g\\+\\+-aarch64-linux-gnu"):
        linker_of(parse_target("aarch64"))
