"""The contract of every importer in the registry; new importers are tested without changes here."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import onnx
import pytest

from tests.pipeline.importers.samples import save_sample
from tvmopt.cli import tvmopt as group
from tvmopt.pipeline.errors import InputFileError, WrongResultError
from tvmopt.pipeline.importers import example_inputs, load_model, parse_source, survey_model
from tvmopt.pipeline.importers.base import Importer
from tvmopt.pipeline.importers.check.normalized import agrees, first_wrong
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.importers.registry import IMPORTERS, find_importer, listed_forms
from tvmopt.pipeline.support.onnxruntime import run_model

GARBAGE = bytes(range(256)) * 8
TABLE_ROW = re.compile(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", re.MULTILINE)

every_importer = pytest.mark.parametrize("importer", IMPORTERS, ids=lambda importer: importer.kind)


def spelled(importer: Importer, path: Path) -> str:
    """MODEL for `path`, with a factory's name if the format takes one."""
    return str(path) if importer.find_factory is None else f"{path}:build"


def refused(spec: str) -> str:
    """The one-line error for `spec`."""
    with pytest.raises(InputFileError) as raised:
        load_model(spec)
    message = str(raised.value)
    assert "\n" not in message
    assert spec.partition(":")[0] in message
    return message


def test_kinds_and_suffixes_belong_to_one_importer() -> None:
    kinds = [importer.kind for importer in IMPORTERS]
    assert len(set(kinds)) == len(kinds)
    taken = [suffix for importer in IMPORTERS for suffix in importer.suffixes]
    refused_ones = [suffix for importer in IMPORTERS for suffix in importer.refused]
    assert {suffix: count for suffix, count in Counter(taken + refused_ones).items() if count > 1} == {}
    assert [(a, b) for a in taken for b in taken if a != b and a.endswith(b)] == []


def test_kinds_of_released_versions_are_still_there() -> None:
    """Artifacts and measurement files contain them."""
    assert {"onnx", "pt2", "python"} <= {importer.kind for importer in IMPORTERS}


def test_a_kind_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(
        ValueError, match=rf"kind 'pt3' \(known: {', '.join(importer.kind for importer in IMPORTERS)}\)"
    ):
        find_importer("pt3")


def test_the_registry_loads_no_framework(repository: Path) -> None:
    code = (
        "import sys; from tvmopt.pipeline.importers.registry import IMPORTERS;"
        "print([name for name in ('numpy', 'onnx', 'onnxruntime', 'torch', 'tvm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=repository)
    assert done.stdout == "[]\n"


@every_importer
def test_what_it_says_of_itself(importer: Importer) -> None:
    assert importer.suffixes
    for suffix in (*importer.suffixes, *importer.refused):
        assert suffix == suffix.lower()
        assert re.fullmatch(r"[.\-_]\S+", suffix)
    assert any(suffix in importer.form for suffix in importer.suffixes)
    assert re.match(r"an? \w", importer.title)
    assert re.match(r"an? \w", importer.about)
    assert "|" not in importer.about + importer.form
    if importer.check or importer.layer_values or importer.original_runtime:
        assert importer.framework


@every_importer
def test_help_lists_it(importer: Importer) -> None:
    context = click.Context(group, terminal_width=200, max_content_width=200)
    assert re.search(
        rf"^ +{re.escape(importer.form)} +{re.escape(importer.about)}$", group.get_help(context), re.MULTILINE
    )
    command = group.get_command(context, "compile")
    assert command is not None
    assert importer.form in command.get_help(click.Context(command, terminal_width=200, max_content_width=200))


def test_the_readmes_table_is_that_of_the_registry(repository: Path) -> None:
    text = (repository / "README.md").read_text()
    (table,) = re.findall(
        r"^\| MODEL \| what it is \| original framework \|\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    assert TABLE_ROW.findall(table) == [
        (importer.form, importer.about, importer.framework or "–") for importer in IMPORTERS
    ]


def test_an_unknown_suffix_is_answered_with_all_forms(tmp_path: Path) -> None:
    path = tmp_path / "net.unknown"
    path.write_bytes(GARBAGE)
    assert refused(str(path)).endswith(
        f"is a .unknown file, which is not a model that can be read: give {listed_forms()}"
    )
    assert all(importer.form in listed_forms() for importer in IMPORTERS)


@every_importer
def test_files_it_does_not_read_are_named_with_a_cure(importer: Importer, tmp_path: Path) -> None:
    for suffix, reason in importer.refused.items():
        path = tmp_path / f"net{suffix.upper()}"
        path.write_bytes(GARBAGE)
        assert refused(str(path)) == f"{str(path)!r} {reason}"


@every_importer
def test_a_missing_file_a_folder_and_damaged_files(importer: Importer, tmp_path: Path) -> None:
    sample = tmp_path / "sample"
    sample.mkdir()
    content = parse_source(save_sample(importer, sample)).path.read_bytes()
    path = tmp_path / f"net{importer.suffixes[0]}"
    spec = spelled(importer, path)
    assert "does not exist" in refused(spec)
    for damaged in (b"", GARBAGE, content[: len(content) // 2] + GARBAGE):
        path.write_bytes(damaged)
        refused(spec)
    path.unlink()
    path.mkdir()
    assert f"is a folder: give {listed_forms()}" in refused(spec)


def test_an_importer_that_brings_no_sample_fails_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(
        pytest.fail.Exception, match=r"importer 'other' brings no sample: give SAMPLES in samples\.py a"
    ):
        save_sample(replace(IMPORTERS[0], kind="other"), tmp_path)


@every_importer
@pytest.mark.slow
def test_its_sample_is_imported(importer: Importer, tmp_path: Path) -> None:
    spec = save_sample(importer, tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    model = load_model(spec)
    assert model.source.kind == importer.kind
    assert model.name == model.source.path.name.removesuffix(importer.suffixes[0])
    for form in (model.original, model.normalized):
        onnx.checker.check_model(form, full_check=True)
        assert all(node.name for node in form.graph.node)
    inputs = example_inputs(model, seed=1)
    expected = run_model(model.original, inputs)
    assert first_wrong(expected, run_model(model.normalized, inputs)) is None
    for output in model.outputs:
        assert (expected[output.name].shape, expected[output.name].dtype.name) == (output.shape, output.dtype)
        assert np.ptp(expected[output.name]) > 0, "a sample that gives the same number everywhere shows nothing"
    assert load_model(spec).sha256 == model.sha256
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files, "importing wrote beside the model"


@every_importer
@pytest.mark.slow
def test_its_sample_is_surveyed_and_takes_a_batch(importer: Importer, tmp_path: Path) -> None:
    spec = save_sample(importer, tmp_path)
    model, doubled = load_model(spec), load_model(spec, batch=2)
    source, found = survey_model(spec)
    assert source == model.source
    assert found.accepted
    assert [spec.shape for spec in doubled.inputs] == [(2, *spec.shape[1:]) for spec in model.inputs]
    first, second = (example_inputs(model, seed) for seed in (1, 2))
    together = run_model(doubled.original, {name: np.concatenate([first[name], second[name]]) for name in first})
    apart = [run_model(model.original, inputs) for inputs in (first, second)]
    for name, array in together.items():
        assert agrees(np.concatenate([outputs[name] for outputs in apart]), array)


@every_importer
@pytest.mark.slow
def test_its_check_finds_a_model_that_computes_something_else(importer: Importer, tmp_path: Path) -> None:
    if importer.check is None:
        pytest.skip(f"{importer.title} is not checked against a framework")
    form = importer.load(parse_source(save_sample(importer, tmp_path)), ShapeRequest(), True)
    against = importer.check(form)
    if against == "":
        pytest.skip(f"nothing is installed to check {importer.title} against")
    other = onnx.ModelProto()
    other.CopyFrom(form.model)
    for tensor in other.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype.kind == "f":
            tensor.CopyFrom(onnx.numpy_helper.from_array(array * array.dtype.type(1.5), tensor.name))
    with pytest.raises(WrongResultError, match=f"{against or importer.framework}.* from layer '.+' on"):
        importer.check(replace(form, model=other))


@every_importer
@pytest.mark.slow
def test_its_layer_values_are_those_of_the_onnx_form(importer: Importer, tmp_path: Path) -> None:
    if importer.layer_values is None:
        pytest.skip(f"{importer.title} gives no values of layers")
    model = load_model(save_sample(importer, tmp_path))
    inputs = example_inputs(model, seed=1)
    names = [name for node in model.original.graph.node for name in node.output]
    found = importer.layer_values(model, inputs, names)
    assert {output.name for output in model.outputs} <= found.keys() <= set(names)
    shown = onnx.ModelProto()
    shown.CopyFrom(model.original)
    present = {output.name for output in model.outputs}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in found if name not in present)
    expected = run_model(shown, inputs)
    for name, array in found.items():
        assert agrees(expected[name], np.asarray(array)), name
