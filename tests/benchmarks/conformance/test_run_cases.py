"""Outcomes, in real processes that crash, hang and go on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tvmopt.benchmarks.conformance import run_cases as module
from tvmopt.benchmarks.conformance.cases import Case, all_cases
from tvmopt.benchmarks.conformance.outcome import Outcome, differences
from tvmopt.benchmarks.conformance.run_cases import run_cases
from tvmopt.benchmarks.conformance.summary import Result, faults, operators_table, totals
from tvmopt.benchmarks.conformance.worker import run_case
from tvmopt.pipeline.devices.channel import Channel

BODY = """
import os, sys, time
from tvmopt.pipeline.devices.serve import Server
server = Server()
def answer(command):
    if command["program"] == "tvmopt":
        if command["test"] == "dies":
            os.abort()
        if command["test"] == "hangs":
            time.sleep(60)
    return {"verdict": "pass", "reason": ""}
server.serve(answer)
"""


def test_a_crash_costs_only_its_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_S", 5.0)
    cases = [Case(name, "Relu", "plain", Path()) for name in ("dies", "hangs", "passes", "passes too")]
    run = run_cases(cases, 2, 1.0, start=lambda: Channel([sys.executable, "-c", BODY], os.environ))
    verdicts = {case.test: (by["onnxruntime"].verdict, by["tvmopt"].verdict) for case, by in run}
    assert verdicts == {
        "dies": ("pass", "crash"),
        "hangs": ("pass", "timeout"),
        "passes": ("pass", "pass"),
        "passes too": ("pass", "pass"),
    }


@pytest.mark.parametrize("program", ["onnxruntime", "tvmopt"])
def test_runs_a_case(program: str) -> None:
    (case,) = all_cases(["test_relu"])
    assert run_case(case, program) == Outcome("pass")


def test_a_type_that_numpy_lacks() -> None:
    case = next(case for case in all_cases(["Cast"]) if "FLOAT8E4M3FN" in case.test)
    assert run_case(case, "tvmopt").verdict == "unknown type"


def test_differences() -> None:
    wanted = np.float32([1.0, np.nan, np.inf])
    assert differences({"y": wanted}, {"y": wanted * np.float32(1 + 1e-4)}) == ""
    assert "[1] it is 0, expected nan" in differences({"y": wanted}, {"y": np.float32([1, 0, np.inf])})
    assert "1 of 3 differ" in differences({"y": wanted}, {"y": np.float32([1.01, np.nan, np.inf])})
    assert "float64[3], expected float32[3]" in differences({"y": wanted}, {"y": wanted.astype(np.float64)})
    assert "int64[1], expected int64[]" in differences({"y": np.array(1)}, {"y": np.array([1])})
    assert "at [] it is 2, expected 1" in differences({"y": np.array(1)}, {"y": np.array(2)})


def test_summary() -> None:
    good, refused, wrong = Outcome("pass"), Outcome("refused", "no"), Outcome("wrong", "1 of 2 differ")
    results = {
        "a:plain": Result("a", "Add", "plain", good, refused),
        "a:constant": Result("a", "Add", "constant", good, good),
        "b:plain": Result("b", "Mul", "plain", good, wrong),
        "b:constant": Result("b", "Mul", "constant", good, good),
        "c:plain": Result("c", "Mul", "plain", refused, refused),
    }
    assert faults(results) == [("b:plain", wrong)]
    table = operators_table(results).splitlines()
    assert [line.split() for line in table[1:]] == [["Mul", "2", "1", "0", "1", "1", "of", "2", "differ"]]
    rows = {line.split("  ")[0]: line.split()[-3:] for line in totals(results).splitlines()[1:]}
    assert rows["pass"] == ["1", "0", "1"]
    assert rows["wrong"] == ["1", "0", "1"]
    assert rows["sum"] == ["2", "1", "3"]
