"""Preparation before the run: it is done once, its failure is kept, and records are read before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny
from tvmopt.benchmarks.machine.environment import usable_cores
from tvmopt.benchmarks.measurements.options import CompareOptions
from tvmopt.benchmarks.runtimes.registry import RUNTIMES, find_runtime
from tvmopt.benchmarks.workers.prepare import check_records, prepare_runtime
from tvmopt.benchmarks.workers.prepared_model import Prepared, PreparedModel, describe_model, make_subject
from tvmopt.pipeline.errors import InputFileError

CORES = usable_cores()[:1]


@pytest.fixture
def subject(tmp_path: Path) -> PreparedModel:
    return make_subject(tiny.load(), 1, tmp_path, CompareOptions("two.onnx"), calibrate=False)


def test_nothing_to_prepare(subject: PreparedModel) -> None:
    assert prepare_runtime(subject, find_runtime("onnxruntime"), CORES, (), 60.0) == Prepared()
    assert subject.prepared == {}


def test_missing_records_are_reported_and_not_retried(subject: PreparedModel, tmp_path: Path) -> None:
    runtime = find_runtime("tvmopt")
    first = prepare_runtime(subject, runtime, CORES, (tmp_path / "none",), 60.0)
    assert first == Prepared(missing="no records: run tvmopt tune or pass --tune-trials")
    assert prepare_runtime(subject, runtime, CORES, (tmp_path / "none",), 60.0) is first


def test_a_failure_is_one_line(subject: PreparedModel) -> None:
    # Without calibration data.
    done = prepare_runtime(subject, find_runtime("onnxruntime-int8"), CORES, (), 60.0)
    assert done.failure.startswith("prepare failed: ")
    assert (done.seconds, done.missing) == (None, "")


def test_bad_records_matter_only_to_runtimes_that_use_them(tmp_path: Path) -> None:
    (tmp_path / "x86_64").mkdir()
    (tmp_path / "x86_64" / "log.jsonl").write_text("not json\n{}\n")
    check_records([runtime for runtime in RUNTIMES if not runtime.uses_records], [tmp_path])
    check_records(RUNTIMES, [tmp_path / "none"])
    with pytest.raises(InputFileError, match="log.jsonl:1"):
        check_records(RUNTIMES, [tmp_path])


def test_a_description_names_no_folder() -> None:
    model = tiny.load()
    assert Path(model.source.spec).is_absolute()
    assert describe_model(model) == {"name": "two", "spec": "two.onnx", "kind": "onnx", "sha256": model.sha256}
