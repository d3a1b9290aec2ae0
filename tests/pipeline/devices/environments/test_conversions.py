"""Conversions for other runtimes: each is made once; what a converter refuses stays refused, what crashed does not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tvmopt.pipeline.devices.environments.conversions import ConversionError, convert_once, versions_in
from tvmopt.pipeline.devices.environments.run_script import ScriptError
from tvmopt.pipeline.support.cache import VARIABLE, digest, open_cache, open_conversions

KEY, OTHER = digest("a"), digest("b")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


class Converter:
    """Counts its calls; writes a model, or fails."""

    def __init__(self, path: Path, error: ScriptError | None = None) -> None:
        self.path, self.error, self.calls = path, error, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error
        self.path.write_bytes(b"a model")


def once(path: Path, key: str, convert: Callable[[], None]) -> bool:
    path.unlink(missing_ok=True)
    return convert_once("litert", key, path, convert)


def test_a_model_is_converted_once(tmp_path: Path) -> None:
    path = tmp_path / "model"
    convert = Converter(path)
    assert [once(path, KEY, convert) for _ in range(3)] == [False, True, True]
    assert path.read_bytes() == b"a model"
    assert once(path, OTHER, convert) is False
    assert convert.calls == 2
    facts = open_conversions().facts()
    assert (facts.entries, facts.hits, facts.misses) == ({"litert": 2}, 2, 4)


def test_models_do_not_take_the_room_of_kernels(tmp_path: Path, folder: Path) -> None:
    once(tmp_path / "model", KEY, Converter(tmp_path / "model"))
    assert open_cache().facts().entries == {}
    assert open_conversions().folder == folder / "conversions"
    assert open_conversions().limit_bytes > open_cache().limit_bytes


def test_what_is_refused_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "model"
    convert = Converter(path, ScriptError("it knows no such operator", status=1))
    for _ in range(2):
        with pytest.raises(ConversionError, match="^it knows no such operator$"):
            once(path, KEY, convert)
    assert convert.calls == 1
    assert not path.exists()


@pytest.mark.parametrize("status", [None, -9])
def test_what_crashed_or_took_too_long_is_tried_again(tmp_path: Path, status: int | None) -> None:
    path = tmp_path / "model"
    with pytest.raises(ConversionError, match="killed"):
        once(path, KEY, Converter(path, ScriptError("killed", status)))
    assert once(path, KEY, Converter(path)) is False


def test_a_cache_that_is_off_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    path = tmp_path / "model"
    convert = Converter(path)
    assert [once(path, KEY, convert), once(path, KEY, convert)] == [False, False]
    assert convert.calls == 2


def test_the_versions_of_another_pythons_packages() -> None:
    (found,) = versions_in(sys.executable, ("numpy", "no-such-package"))
    assert found.startswith("numpy ")
