"""The check of an import against MXNet, where its environment is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.pipeline.importers.samples import save_mxnet
from tvmopt.cli import main
from tvmopt.pipeline.devices.environments.places import missing
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.devices.environments.run_script import ScriptError
from tvmopt.pipeline.importers import load_model
from tvmopt.pipeline.importers.mxnet import check


@pytest.mark.slow
def test_an_import_is_checked_against_mxnet(tmp_path: Path) -> None:
    absent = missing(find_environment("mxnet"))
    if absent:
        pytest.skip(absent)
    assert load_model(save_mxnet(tmp_path)).checked_against == "MXNet"


def test_why_mxnet_does_not_run_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise ScriptError("no such operator", 1)

    monkeypatch.setenv("TVMOPT_MXNET_PYTHON", sys.executable)
    monkeypatch.setattr(check, "run_reader", fail)
    model = save_mxnet(tmp_path)
    loaded = load_model(model)
    assert (loaded.checked_against, loaded.unchecked) == ("", "MXNet does not run it: no such operator")
    assert main(["convert", model, "-o", str(tmp_path / "net.onnx")]) == 0
    assert "nodes; not checked: MXNet does not run it: no such operator" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_mxnets_own_reason_is_given(tmp_path: Path) -> None:
    absent = missing(find_environment("mxnet"))
    if absent:
        pytest.skip(absent)
    path = Path(save_mxnet(tmp_path))
    symbol = json.loads(path.read_text())
    del symbol["arg_nodes"]
    path.write_text(json.dumps(symbol))
    said = load_model(str(path)).unchecked
    assert said.startswith("MXNet does not run it: JSONReader: ")
    assert said.endswith('Missing field "arg_nodes"')


def test_without_mxnet_the_import_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TVMOPT_ENVIRONMENTS", str(tmp_path / "none"))
    monkeypatch.setenv("TVMOPT_MXNET_PYTHON", "/no/such/python")
    assert load_model(save_mxnet(tmp_path)).checked_against == ""
