"""What a file is, and what is refused before a framework sees it: none of this needs TensorFlow."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.conftest import RunTvmopt
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.importers.source import model_name, parse_source
from tvmopt.pipeline.importers.tensorflow.look import form_of


def archive(path: Path, sizes: dict[str, int]) -> Path:
    """A ``.keras`` file with parts of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, size in sizes.items():
            file.writestr(name, bytes(size))
    return path


GOOD = {"config.json": 9, "metadata.json": 9, "model.weights.h5": 1000}


def test_forms(tmp_path: Path) -> None:
    contents = {
        "a.tflite": b"\x1c\0\0\0TFL3",
        "a.h5": b"\x89HDF\r\n\x1a\n",
        "a.pb": b"\x0a\x00\x22\x00",
        "saved_model.pb": b"\x08\x01",
    }
    forms = {}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        forms[name] = form_of(tmp_path / name)
    assert forms == {"a.tflite": "tflite", "a.h5": "keras", "a.pb": "graph", "saved_model.pb": "saved_model"}
    assert form_of(archive(tmp_path / "a.keras", GOOD)) == "keras"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tflite", b"", "the file is empty"),
        ("a.tflite", b"{text}, not binary", "lacks the mark TFL3"),
        ("a.h5", b"not HDF5 at all", "not an HDF5 file"),
        ("a.keras", b"not a zip", "not a .keras archive"),
        ("a.pb", b"node { name: 'x' }", "not a TensorFlow graph"),
        ("a.pb", b"\x0a\xff\xff\xff\xff\x0f", "beyond its message"),
        ("a.pb", b"\x7a\x00", "it has the fields [15]"),
        ("a.pb", b"\x0a\x00", "the graph is cut short"),
        ("saved_model.pb", b"\x08", "not a TensorFlow graph"),
    ],
)
def test_files_of_another_kind(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFileError) as raised:
        form_of(tmp_path / name)
    assert message in str(raised.value)


def test_archives_that_fill_memory_or_lack_parts(tmp_path: Path) -> None:
    bomb = archive(tmp_path / "bomb.keras", {**GOOD, "model.weights.h5": 1 << 28})
    assert bomb.stat().st_size < 1 << 20
    with pytest.raises(InputFileError, match=r"unpacks to 268435474 bytes: at most \d+ are read"):
        form_of(bomb)
    with pytest.raises(InputFileError, match=r"lacks metadata\.json, model\.weights\.h5"):
        form_of(archive(tmp_path / "other.keras", {"config.json": 5}))


def test_a_folder_is_a_saved_model(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    folder.mkdir()
    with pytest.raises(InputFileError, match="is a folder"):
        parse_source(str(folder))
    (folder / "saved_model.pb").write_bytes(b"\x08\x01")
    for spec in (folder, folder / "saved_model.pb"):
        source = parse_source(str(spec))
        assert (source.kind, source.path, model_name(source)) == ("tensorflow", folder / "saved_model.pb", "network")


@pytest.mark.parametrize("name", ["a.tflite", "a.pb"])
def test_without_tensorflow_one_line_names_the_command(name: str, tmp_path: Path, run_tvmopt: RunTvmopt) -> None:
    (tmp_path / name).write_bytes({"a.tflite": b"\x1c\0\0\0TFL3", "a.pb": b"\x0a\x00\x22\x00"}[name])
    nowhere = {"TVMOPT_ENVIRONMENTS": str(tmp_path / "none"), "TVMOPT_TENSORFLOW_PYTHON": ""}
    done = run_tvmopt("convert", name, "-o", "out.onnx", environment=nowhere)
    if "not installed" not in done.stderr:
        pytest.skip("this environment has TensorFlow itself")
    assert done.returncode == 8
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.endswith("not installed: tvmopt runtimes --install tensorflow\n")
