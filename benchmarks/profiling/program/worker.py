"""The process in which a program is profiled: ``python -m tvmopt.benchmarks.profiling.program.worker OUT < request``.

The request is JSON: ``path``, ``function``, ``seconds``, ``named`` (the user's functions, each with its stage). The
result, also JSON: ``first_s, first, whole_s[], traced_s[], warm``, or ``error`` and ``code``. ``first`` and
``warm`` are lists of ``stage, function, seconds, calls`` over all traced calls.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from tvmopt.benchmarks.profiling.program.stages import Rules
from tvmopt.benchmarks.profiling.program.trace import Tracer
from tvmopt.pipeline.data.user_code import describe
from tvmopt.pipeline.errors import TvmoptError, UnsupportedModelError
from tvmopt.pipeline.importers.pytorch.python_file import opened_factory
from tvmopt.pipeline.types import ModelSource

LEAST_CALLS = 2
"""Calls after the first, traced and untraced, however long they take."""

MOST_CALLS = 10_000


def main() -> None:
    """Profile the program that the request on stdin names, and write the result."""
    request = json.load(sys.stdin)
    try:
        result = _profile(request)
    except TvmoptError as error:
        result = {"error": str(error), "code": error.exit_code}
    Path(sys.argv[1]).write_text(json.dumps(result))


def _profile(request: Mapping[str, Any]) -> dict[str, Any]:
    path = Path(request["path"])
    source = ModelSource(spec=str(path), kind="python", path=path, factory=request["function"])
    rules = Rules(request["named"], path.resolve())
    with opened_factory(source) as function:
        try:
            return _measure(function, rules, float(request["seconds"]))
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise UnsupportedModelError(f"{source.factory}() raised {describe(error, path)}") from error


def _measure(function: Callable[[], Any], rules: Rules, seconds: float) -> dict[str, Any]:
    """A first call, then calls without and with the tracer in turn."""
    cold, warm = Tracer(rules), Tracer(rules)
    first_s = _timed(lambda: cold.run(function))
    whole_s: list[float] = []
    traced_s: list[float] = []
    end = perf_counter() + seconds
    while len(whole_s) < LEAST_CALLS or (perf_counter() < end and len(whole_s) < MOST_CALLS):
        whole_s.append(_timed(function))
        traced_s.append(_timed(lambda: warm.run(function)))
    return {
        "first_s": first_s,
        "first": _rows(cold),
        "whole_s": whole_s,
        "traced_s": traced_s,
        "warm": _rows(warm),
    }


def _timed(call: Callable[[], Any]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def _rows(tracer: Tracer) -> list[dict[str, Any]]:
    return [
        {"stage": stage, "function": function, "seconds": spent.seconds, "calls": spent.calls}
        for (stage, function), spent in tracer.times.items()
    ]


if __name__ == "__main__":
    main()
