"""Merging and pruning logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.tuning import synthetic
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.records.record import FormatVersionError, Record
from tvmopt.pipeline.records.store import RecordStore
from tvmopt.pipeline.records.upkeep import merge, prune

WORKLOAD = synthetic.convolution()
CONFIGS = synthetic.configs()


def record(latency_s: float, config: int, **changes: Any) -> Record:
    return synthetic.record(WORKLOAD, CONFIGS[config], latency_s=(latency_s,), **changes)


def write(folder: Path, name: str, *records: Record) -> Path:
    store = RecordStore(folder, name)
    for item in records:
        store.append(item)
    return store.log(records[0].target_key)


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_merges_folders_and_files_without_repetition(tmp_path: Path) -> None:
    one, two, three = (record(1e-3 * n, n) for n in (1, 2, 3))
    elsewhere = record(4e-3, 4, target_key="aarch64-neon-4t")
    write(tmp_path / "a", "model", one, two)
    write(tmp_path / "a", "model", elsewhere)
    log = write(tmp_path / "b", "other", two, three)
    report = merge([tmp_path / "a", log], tmp_path / "out")
    assert (report.read, report.added, len(report.files)) == (5, 4, 3)
    assert contents(tmp_path / "out") == {
        "aarch64-neon-4t/model.jsonl": f"{elsewhere.to_line()}\n",
        "x86_64-avx2-2t/model.jsonl": f"{one.to_line()}\n{two.to_line()}\n",
        "x86_64-avx2-2t/other.jsonl": f"{three.to_line()}\n",
    }
    before = contents(tmp_path / "out")
    assert merge([tmp_path / "a", log], tmp_path / "out").added == 0
    assert contents(tmp_path / "out") == before


def test_merges_into_logs_that_are_there(tmp_path: Path) -> None:
    write(tmp_path / "out", "model", record(1e-3, 1))
    write(tmp_path / "a", "model", record(1e-3, 1), record(2e-3, 2))
    assert merge([tmp_path / "a"], tmp_path / "out").added == 1
    assert len(RecordStore(tmp_path / "out").records()) == 2


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("garbage", InputFileError, r"model\.jsonl:2: not a record"),
        (json.dumps({"format": 9}), FormatVersionError, r"model\.jsonl:2: record of format 9"),
    ],
)
def test_a_bad_source_changes_nothing(tmp_path: Path, line: str, error: type[InputFileError], message: str) -> None:
    good = write(tmp_path / "a", "good", record(1e-3, 1))
    bad = write(tmp_path / "b", "model", record(2e-3, 2))
    bad.write_text(f"{bad.read_text()}{line}\n")
    with pytest.raises(error, match=message):
        merge([good, bad], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such file or folder"):
        merge([tmp_path / "nothing"], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputFileError, match="has no logs"):
        merge([tmp_path / "empty"], tmp_path / "out")


def test_a_torn_source_is_merged_without_its_torn_line(tmp_path: Path) -> None:
    log = write(tmp_path / "a", "model", record(1e-3, 1))
    log.write_text(log.read_text() + record(2e-3, 2).to_line()[:50])
    assert merge([log], tmp_path / "out").added == 1


def test_prunes_to_the_fastest_of_each_kind(tmp_path: Path) -> None:
    kept = [
        record(1e-3, 1),
        record(3e-3, 2, cpu="slow one"),
        record(3e-3, 2, template_version=2),
        record(3e-3, 2, target_key="x86_64-avx2-8t"),
        synthetic.record(synthetic.convolution(128), CONFIGS[9]),
    ]
    dropped = [
        record(2e-3, 2),
        synthetic.record(WORKLOAD, CONFIGS[3], status="crash", latency_s=(), error="gone"),
        record(4e-3, 4, cpu="slow one"),
    ]
    store = RecordStore(tmp_path, "model")
    for item in [dropped[0], *kept, *dropped[1:]]:
        store.append(item)
    report = prune(tmp_path, keep=1)
    assert (report.kept, report.dropped, report.corrupt, report.side_files) == (5, 3, 0, ())
    left = RecordStore(tmp_path).records()
    assert {item.to_line() for item in left} == {item.to_line() for item in kept}


def test_all_samples_of_a_kept_config_stay(tmp_path: Path) -> None:
    log = write(tmp_path, "model", record(1e-3, 1), record(9e-3, 2), record(1.1e-3, 1), record(2e-3, 3))
    assert prune(tmp_path, keep=2).kept == 3
    assert log.read_text().splitlines() == [
        item.to_line() for item in (record(1e-3, 1), record(1.1e-3, 1), record(2e-3, 3))
    ]


def test_the_fastest_of_two_logs_stays_in_its_own(tmp_path: Path) -> None:
    one = write(tmp_path, "one", record(2e-3, 1))
    two = write(tmp_path, "two", record(1e-3, 2))
    prune(tmp_path, keep=1)
    assert (one.read_text(), two.read_text()) == ("", f"{record(1e-3, 2).to_line()}\n")


@pytest.mark.parametrize("keep", [None, 1])
def test_corrupt_lines_move_aside(tmp_path: Path, keep: int | None) -> None:
    log = write(tmp_path, "model", record(1e-3, 1))
    good = log.read_text()
    log.write_text(f"garbage\n{good}[1, 2]\n\n")
    side = log.with_name("model.jsonl.corrupt")
    side.write_text("earlier\n")
    report = prune(tmp_path, keep)
    assert (report.kept, report.dropped, report.corrupt, report.side_files) == (1, 0, 2, (side,))
    assert log.read_text() == good
    assert side.read_text() == "earlier\ngarbage\n[1, 2]\n"
    assert prune(tmp_path, keep).corrupt == 0
    assert sorted(path.name for path in log.parent.iterdir()) == ["model.jsonl", "model.jsonl.corrupt"]


def test_only_corrupt_lines_go_when_everything_is_kept(tmp_path: Path) -> None:
    log = write(tmp_path, "model", *(record(1e-3 * (n + 1), n) for n in range(6)))
    log.write_text(log.read_text() + "garbage\n")
    report = prune(log, None)
    assert (report.kept, report.dropped, report.corrupt) == (6, 0, 1)


def test_another_format_version_is_never_touched(tmp_path: Path) -> None:
    first = write(tmp_path, "a", record(1e-3, 1), record(2e-3, 2))
    newer = write(tmp_path, "b", record(1e-3, 1))
    newer.write_text(json.dumps({"format": 2}) + "\n")
    before = contents(tmp_path)
    with pytest.raises(FormatVersionError):
        prune(tmp_path, keep=1)
    assert contents(tmp_path) == before
    assert first.exists()


def test_pruning_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no such folder"):
        prune(tmp_path / "nothing", keep=1)
    assert prune(tmp_path, keep=1).kept == 0
