"""``tvmopt report`` and ``tvmopt runtimes``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import RunTvmopt
from tvmopt.benchmarks.runtimes.registry import RUNTIMES

pytestmark = pytest.mark.slow  # a process or two for each test


@pytest.fixture
def results(repository: Path) -> Path:
    return repository / "tests" / "benchmarks" / "data" / "mobilenet_v2.json"


def test_tables(run_tvmopt: RunTvmopt, results: Path) -> None:
    done = run_tvmopt("report", results, environment={"COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    assert "mobilenet_v2, batch 1, 2 threads" in done.stdout
    assert "…" not in done.stdout  # the tables fit 80 columns
    for title in ("PyTorch compiled", "ONNX Runtime INT8", "tvmopt untuned"):
        assert title in done.stdout
    assert "tvmopt tuned: no records: run tvmopt tune or pass --tune-trials" in done.stdout


def test_page_and_markdown(run_tvmopt: RunTvmopt, results: Path, tmp_path: Path) -> None:
    done = run_tvmopt("report", results, "--html", "out.html", "--md", "out.md")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["wrote out.html", "wrote out.md"]
    assert (tmp_path / "out.html").read_text().startswith("<!doctype html>")
    assert "### Batch 1, 2 threads" in (tmp_path / "out.md").read_text()


def test_unlike_machines(run_tvmopt: RunTvmopt, results: Path, tmp_path: Path) -> None:
    document = json.loads(results.read_text())
    document["environment"]["cpu"] = "Another CPU \x1b[31m[red]"
    (tmp_path / "other.json").write_text(json.dumps(document))
    done = run_tvmopt("report", results, "other.json")
    assert done.returncode == 0, done.stderr
    assert "2 different machines (they differ in: cpu)" in done.stdout
    assert "\x1b" not in done.stdout
    assert "[red]" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("none.json",), 3, "none.json: cannot be read: No such file or directory"),
        ((".",), 3, "cannot be read: Is a directory"),
        (("text.json",), 3, "text.json: not JSON (line 1"),
        (("half.json",), 3, "half.json: not JSON (line 1"),
        (("other.json",), 3, "other.json: not a measurement file of tvmopt compare: it is not a comparison"),
        ((), 2, "Missing argument"),
        (("good.json", "--html", "none/out.html"), 2, "no folder 'none'"),
        (("good.json", "--md", "out.txt"), 2, "ends with .md"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], code: int, message: str, run_tvmopt: RunTvmopt, results: Path, tmp_path: Path
) -> None:
    (tmp_path / "good.json").write_bytes(results.read_bytes())
    (tmp_path / "half.json").write_bytes(results.read_bytes()[:5000])
    (tmp_path / "text.json").write_text("hello")
    (tmp_path / "other.json").write_text("{}")
    before = sorted(tmp_path.iterdir())
    done = run_tvmopt("report", *arguments)
    assert done.returncode == code
    assert done.stderr.startswith("tvmopt: error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_bad_file_among_good_ones_writes_nothing(run_tvmopt: RunTvmopt, results: Path, tmp_path: Path) -> None:
    done = run_tvmopt("report", results, "none.json", "--html", "out.html")
    assert done.returncode == 3
    assert list(tmp_path.iterdir()) == []


def test_runtimes(run_tvmopt: RunTvmopt) -> None:
    done = run_tvmopt("runtimes")
    assert done.returncode == 0, done.stderr
    listed, _, _ = done.stdout.partition("In environments of their own:")
    told = " ".join(listed.split())
    for runtime in RUNTIMES:
        assert [line.split(" ")[0] for line in listed.splitlines()].count(runtime.name) == 1
        versions = runtime.versions()
        expected = runtime.missing() or f"{runtime.packages[0]} {versions[runtime.packages[0]]}"
        assert f"{runtime.name} {expected}" in told
