"""The check of an import against MXNet, where its environment is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.importers.samples import save_mxnet
from tvmopt.pipeline.devices.environments.places import missing
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.importers import load_model


@pytest.mark.slow
def test_an_import_is_checked_against_mxnet(tmp_path: Path) -> None:
    absent = missing(find_environment("mxnet"))
    if absent:
        pytest.skip(absent)
    assert load_model(save_mxnet(tmp_path)).checked_against == "MXNet"


def test_without_mxnet_the_import_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TVMOPT_ENVIRONMENTS", str(tmp_path / "none"))
    monkeypatch.setenv("TVMOPT_MXNET_PYTHON", "/no/such/python")
    assert load_model(save_mxnet(tmp_path)).checked_against == ""
