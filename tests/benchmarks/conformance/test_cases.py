"""ONNX's tests in their forms."""

from __future__ import annotations

from tvmopt.benchmarks.conformance.cases import all_cases, read_case


def test_filters_by_operator() -> None:
    """Also tests with the operator written out count, and have no constant form."""
    cases = all_cases(["Gelu"])
    assert {case.operator for case in cases} == {"Gelu"}
    assert {case.form for case in cases} == {"plain"}  # one operand only
    assert any(case.test.endswith("_expanded") for case in cases)


def test_the_constant_form_keeps_one_input() -> None:
    (case,) = [case for case in all_cases(["test_clip_example"]) if case.form == "constant"]
    model, sets = read_case(case)
    (data,) = sets
    assert [value.name for value in model.graph.input] == ["x"] == list(data.inputs)
    assert {tensor.name for tensor in model.graph.initializer} == {"min", "max"}
    assert list(data.outputs) == ["y"]


def test_leaves_out_strings_and_sequences() -> None:
    operators = {case.operator for case in all_cases()}
    assert "StringNormalizer" not in operators
    assert len(operators) > 150
