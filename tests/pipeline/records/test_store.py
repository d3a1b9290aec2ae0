"""Records and their store."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.records.ranking import fastest
from tvmopt.pipeline.records.record import FormatVersionError, Record, target_facts
from tvmopt.pipeline.records.store import RecordStore, log_files, read_records
from tvmopt.pipeline.support.tvm import tvm_version
from tvmopt.schedules.expression import ACC, call
from tvmopt.schedules.host import host_cpu
from tvmopt.schedules.target import parse_target

WORKLOAD = synthetic.convolution()
CONFIGS = synthetic.configs()
KEY = (WORKLOAD.key, synthetic.TARGET.key, "synthetic", 1)


def record(latency_s: float | tuple[float, ...] = 1e-3, config: int = 0, **changes: Any) -> Record:
    samples = latency_s if isinstance(latency_s, tuple) else (latency_s,)
    return synthetic.record(WORKLOAD, CONFIGS[config], latency_s=samples, **changes)


def failed(config: int = 0) -> Record:
    return record((), config, status="wrong", error="differs by 0.3")


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> RecordStore:
    return RecordStore(tmp_path / "logs", "model")


def test_a_record_is_the_same_after_writing_and_reading() -> None:
    for original in (record((1e-3, 1.5e-3, 0.1 + 0.2)), record(in_model=True), failed()):
        again = Record.from_json(json.loads(original.to_line()))
        assert again == original
        assert again.to_line() == original.to_line()


def test_a_line_says_what_was_measured_where(store: RecordStore) -> None:
    store.append(record())
    data = json.loads(store.log(synthetic.TARGET.key).read_text())
    assert data["format"] == 1
    assert data["target"]["key"] == "x86_64-avx2-2t"
    assert (data["target"]["isa"], data["target"]["threads"]) == ("avx2", 2)
    assert data["template"] == {"name": "synthetic", "version": 1}
    assert data["workload"]["inputs"][0]["shape"] == [1, 64, 28, 28]
    assert data["cpu"] == synthetic.CPU


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_key": "../../elsewhere"}, "target key"),
        ({"target_key": ""}, "target key"),
        ({"status": "fine"}, "status must be one of"),
        ({"status": "crash"}, "if and only if"),
        ({"latency_s": ()}, "if and only if"),
        ({"latency_s": (float("nan"),)}, "positive seconds"),
        ({"latency_s": (1.0, 0.0)}, "positive seconds"),
    ],
)
def test_impossible_records(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(record(), **changes)


def test_an_empty_store(store: RecordStore) -> None:
    assert store.records() == ()
    assert store.best(*KEY) is None
    assert store.history(*KEY) == ()
    assert not store.directory.exists()


def test_appended_records_are_found_at_once_and_after_loading(store: RecordStore) -> None:
    written = [record(3e-3), failed(1), record(2e-3, 2)]
    for item in written:
        store.append(item)
    for seen in (store, RecordStore(store.directory)):
        assert list(seen.records()) == written
        assert list(seen.history(*KEY)) == written
        best = seen.best(*KEY)
        assert best is not None
        assert best.median_s == 2e-3


def test_logs_of_every_name_are_read(store: RecordStore) -> None:
    store.append(record(2e-3))
    RecordStore(store.directory, "another").append(record(1e-3, 1))
    assert [path.name for path in log_files(store.directory)] == ["another.jsonl", "model.jsonl"]
    best = RecordStore(store.directory).best(*KEY)
    assert best is not None
    assert best.median_s == 1e-3


@pytest.mark.parametrize(
    "other",
    [
        synthetic.record(synthetic.convolution(65), CONFIGS[0]),
        dataclasses.replace(record(), workload=dataclasses.replace(WORKLOAD, epilogue=call("relu", ACC))),
        record(target_key="x86_64-avx2-4t"),
        record(template="another"),
        record(template_version=2),
        failed(),
    ],
    ids=["shape", "epilogue", "target", "template", "version", "failed"],
)
def test_a_mismatch_is_a_miss(store: RecordStore, other: Record) -> None:
    store.append(other)
    assert store.best(*KEY) is None
    assert RecordStore(store.directory).best(*KEY) is None


def test_the_median_decides_not_the_luckiest_sample(store: RecordStore) -> None:
    store.append(record((1e-3, 5e-3, 5e-3), 0))
    store.append(record((3e-3, 3e-3, 3e-3), 1))
    best = store.best(*KEY)
    assert best is not None
    assert best.config == dict(CONFIGS[1])


def test_all_samples_of_a_config_count_together() -> None:
    lucky, again, steady = record((1e-3,) * 3, 0), record((4e-3,) * 4, 0), record((2e-3,) * 3, 1)
    assert fastest([lucky, again, steady]) is steady
    assert fastest([lucky, steady]) is lucky
    assert fastest([lucky, again]) is again


def test_times_inside_a_model_override_isolated_ones(store: RecordStore) -> None:
    alone, slower_alone = record(1e-3, 0), record(2e-3, 1)
    inside, faster_inside = record(3e-3, 0, in_model=True), record(2.9e-3, 1, in_model=True)
    for item in (alone, slower_alone, inside, faster_inside, record(1e-4, 2)):
        store.append(item)
    assert store.best(*KEY) == faster_inside
    assert fastest(store.history(*KEY), default=CONFIGS[0]) == faster_inside
    assert RecordStore(store.directory).best(*KEY) == faster_inside
    (group,) = store.groups("synthetic", 1)
    assert not any(item.in_model for item in group)
    assert len(group) == 3


def test_the_default_wins_where_no_other_is_clearly_faster() -> None:
    default, near, far = record(1.0e-3, 0), record(0.97e-3, 1), record(0.9e-3, 2)
    assert fastest([default, near], default=CONFIGS[0]) is default
    assert fastest([default, near, far], default=CONFIGS[0]) is far
    assert fastest([near, far], default=CONFIGS[0]) is far
    assert fastest([default, near]) is near


def test_processors_are_not_compared() -> None:
    theirs = [record(1e-3, 0, cpu="fast one"), record(2e-3, 1, cpu="fast one")]
    ours = record(3e-3, 2, cpu=host_cpu())
    assert fastest([*theirs, ours]) is ours
    assert fastest([*theirs, ours], cpu="fast one") is theirs[0]
    assert fastest([*theirs, record(0.5e-3, 3, cpu="seen once")]) is theirs[0]
    assert fastest([failed()]) is None


def test_a_torn_last_line_is_passed_over_and_mended(store: RecordStore) -> None:
    store.append(record())
    path = store.log(synthetic.TARGET.key)
    line = record(2e-3, 1).to_line()
    for length in (1, 17, len(line) - 1):
        path.write_text(f"{record().to_line()}\n{line[:length]}")
        torn = RecordStore(store.directory, "model")
        assert len(torn.records()) == 1
        torn.append(record(5e-3, 2))
        assert path.read_text() == f"{record().to_line()}\n{record(5e-3, 2).to_line()}\n"


LINE = json.loads(record().to_line())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "Expecting value"),
        ("[]", "not a record"),
        ("{}", "no 'format'"),
        (record().to_line()[:100], "not a record"),
        (json.dumps({**LINE, "config": {"rows": 1.5}}), "whole numbers"),
        (json.dumps({**LINE, "config": {"rows": True}}), "whole numbers"),
        (json.dumps({**LINE, "config": [1]}), "not a record"),
        (json.dumps({**LINE, "config": {"rows": "many " * 1000}}), "whole numbers"),
        (json.dumps({**LINE, "latency_s": [-1]}), "positive seconds"),
        (json.dumps({**LINE, "latency_s": [float("nan")]}), "positive seconds"),
        (json.dumps({**LINE, "latency_s": []}), "if and only if"),
        (json.dumps({**LINE, "target": {**LINE["target"], "key": "../../../x"}}), "target key"),
        (json.dumps({**LINE, "workload": {}}), "no 'attrs'"),
        (json.dumps({**LINE, "workload": {**LINE["workload"], "attrs": []}}), "not a record"),
        (json.dumps({**LINE, "workload": {**LINE["workload"], "epilogue": [{"a": 1}]}}), "not an expression"),
        (json.dumps({**LINE, "workload": {**LINE["workload"], "attrs": {"groups": {"a": 1}}}}), "unhashable"),
        (json.dumps({**LINE, "template": {"name": "x", "version": 1e999}}), "not a record"),
        (json.dumps({k: v for k, v in LINE.items() if k != "cpu"}), "no 'cpu'"),
        ("[" * 100_000, "not a record"),
        ('{"format": ' + "9" * 5000 + "}", "not a record"),
    ],
)
def test_a_corrupt_line_names_file_and_line_and_remedy(store: RecordStore, line: str, message: str) -> None:
    store.append(record())
    path = store.log(synthetic.TARGET.key)
    path.write_text(f"{record().to_line()}\n{line}\n{record().to_line()}\n")
    with pytest.raises(InputFileError) as caught:
        RecordStore(store.directory).records()
    text = str(caught.value)
    assert text.startswith(f"{path}:2: not a record")
    assert message in text
    assert text.endswith(f"tvmopt logs prune --corrupt-only {path}")
    assert "\n" not in text
    assert len(text) < 500 + len(str(path)) * 2


def test_bytes_that_are_not_text(store: RecordStore) -> None:
    path = store.log("target")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe\x00\n")
    with pytest.raises(InputFileError, match=r"model\.jsonl:1: not a record"):
        store.records()


def test_another_format_version(store: RecordStore) -> None:
    path = store.log("target")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**LINE, "format": 2, "config": "as it will be"}) + "\n")
    with pytest.raises(FormatVersionError, match="record of format 2, this tvmopt reads format 1"):
        store.records()


def test_a_file_in_a_folders_place(tmp_path: Path) -> None:
    path = tmp_path / "logs"
    path.write_text("")
    with pytest.raises(InputFileError, match="is a file, not a folder"):
        RecordStore(path).records()
    with pytest.raises(InputFileError, match="no such folder"):
        log_files(tmp_path / "nothing")
    with pytest.raises(InputFileError, match="cannot be read"):
        list(read_records(tmp_path))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / synthetic.TARGET.key).write_text("in the way")
    with pytest.raises(InputFileError, match="cannot be written"):
        RecordStore(tmp_path).append(record())


@pytest.mark.parametrize(
    ("name", "stem"),
    [("mobilenet_v2", "mobilenet_v2"), ("a/b c", "a_b_c"), ("..", "records"), ("", "records"), ("größe", "größe")],
)
def test_any_models_name_makes_a_file(tmp_path: Path, name: str, stem: str) -> None:
    store = RecordStore(tmp_path, name)
    store.append(record())
    assert log_files(tmp_path) == [tmp_path / synthetic.TARGET.key / f"{stem}.jsonl"]


def test_facts_of_this_machine() -> None:
    target = parse_target("llvm", 2)
    facts = target_facts(target)
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["isa"], facts["threads"]) == (target.isa, 2)
    assert tvm_version().count(".") >= 2
    assert host_cpu()
