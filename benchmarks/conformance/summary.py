"""What all outcomes together say: totals, a row for each operator, and the faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tvmopt.benchmarks.conformance.outcome import BAD, Outcome
from tvmopt.benchmarks.report.tables import plain_table

WIDTH = 150
"""Characters of a reason that a table shows."""


@dataclass(frozen=True, slots=True)
class Result:
    """A case that was run.

    Attributes:
        test, operator, form: as in `Case`.
        onnxruntime, tvmopt: the outcomes.
    """

    test: str
    operator: str
    form: str
    onnxruntime: Outcome
    tvmopt: Outcome


@dataclass(frozen=True, slots=True)
class Test:
    """A test over its forms: tvmopt passes if it does in some form, and is at fault if it is in some form."""

    name: str
    operator: str
    known: bool
    verdict: str
    reason: str

    __test__ = False  # pytest would take it for a class of tests


def tests_of(results: Mapping[str, Result]) -> list[Test]:
    """The tests of `results`, by name."""
    by_test: dict[str, list[Result]] = {}
    for result in results.values():
        by_test.setdefault(result.test, []).append(result)
    return [_test(name, by_test[name]) for name in sorted(by_test)]


def _test(name: str, forms: list[Result]) -> Test:
    order = (*BAD, "pass", "refused", "unknown type")
    # The constant form of a test that passes in neither says more: its sizes are known.
    worst = min(sorted(forms, key=lambda result: result.form), key=lambda result: order.index(result.tvmopt.verdict))
    known = any(result.onnxruntime.verdict == "pass" for result in forms)
    return Test(name, worst.operator, known, worst.tvmopt.verdict, worst.tvmopt.reason)


def faults(results: Mapping[str, Result]) -> list[tuple[str, Outcome]]:
    """The cases in which tvmopt crashed, hung, or computed something wrong that ONNX Runtime does not compute too."""
    bad = [(key, result) for key, result in sorted(results.items()) if result.tvmopt.verdict in BAD]
    return [(key, result.tvmopt) for key, result in bad if result.tvmopt != result.onnxruntime]


def totals(results: Mapping[str, Result]) -> str:
    """A table of verdicts, beside ONNX Runtime's, over all tests."""
    counts = Counter((test.verdict, test.known) for test in tests_of(results))
    heads = ("tvmopt", "onnxruntime passes", "onnxruntime does not", "sum")
    lines = []
    for verdict in ("pass", "refused", *BAD, "unknown type"):
        both = counts[verdict, True], counts[verdict, False]
        lines.append((verdict, *map(str, both), str(sum(both))))
    sums = [sum(count for (_, known), count in counts.items() if known == side) for side in (True, False)]
    lines.append(("sum", *map(str, sums), str(sum(sums))))
    return plain_table(heads, lines, words=heads[:1])


def operators_table(results: Mapping[str, Result]) -> str:
    """A row for each operator of which some test does not pass though ONNX Runtime passes it, the worst first."""
    heads = ("operator", "tests", "onnxruntime", "tvmopt", "missing", "first reason")
    rows: list[tuple[int, tuple[str, ...]]] = []
    by_operator: dict[str, list[Test]] = {}
    for test in tests_of(results):
        by_operator.setdefault(test.operator, []).append(test)
    for operator, tests in by_operator.items():
        known = [test for test in tests if test.known]
        missing = [test for test in known if test.verdict != "pass"]
        if missing:
            passed = len(known) - len(missing)
            numbers = (len(tests), len(known), passed, len(missing))
            rows.append((-len(missing), (operator, *map(str, numbers), missing[0].reason[:WIDTH])))
    return plain_table(heads, [row for _, row in sorted(rows)], words=(heads[0], heads[-1]))
