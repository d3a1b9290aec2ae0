from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from tvmopt.pipeline.errors import InputFileError, TvmoptError, UnsupportedModelError
from tvmopt.pipeline.importers.pytorch.export import export_program, load_program
from tvmopt.pipeline.importers.pytorch.pt2_archive import check_archive
from tvmopt.pipeline.types import ModelSource

pytestmark = pytest.mark.slow  # a process or two for each test

Edit = Callable[[bytes], bytes]
NETWORK = "models/model.json"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with a dynamic batch, as torch saves it."""
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    batch = torch.export.Dim("batch")
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Flatten()).eval()
    program = torch.export.export(network, (torch.ones(4, 3),), dynamic_shapes=({0: batch * 2},))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)
    return path


@pytest.fixture
def edited(saved: Path, tmp_path: Path) -> Callable[..., Path]:
    """The archive with one part changed, removed or added."""

    def build(part: str = "-", edit: Edit | None = None, added: str | None = None) -> Path:
        path = tmp_path / "net.pt2"
        with zipfile.ZipFile(saved) as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                content = source.read(name)
                if not name.endswith(part):
                    target.writestr(name, content)
                elif edit is not None:
                    target.writestr(name, edit(content))
            if added is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # zipfile warns about duplicate names
                    target.writestr(added, b"{}")
        return path

    return build


def load(path: Path) -> None:
    load_program(ModelSource(str(path), "pt2", path))


def replace(old: bytes, new: bytes) -> Edit:
    def edit(content: bytes) -> bytes:
        assert old in content
        return content.replace(old, new)

    return edit


def test_archives_saved_by_torch_are_accepted(saved: Path) -> None:
    check_archive(saved)
    load(saved)


@pytest.mark.parametrize(
    ("part", "edit", "error", "message"),
    [
        (NETWORK, None, InputFileError, "lacks 'models/model.json'"),
        (NETWORK, lambda content: content[:50], InputFileError, "damaged"),
        (NETWORK, lambda _: b"[]", InputFileError, "cannot read the file"),
        ("model_weights_config.json", lambda _: b'{"config": [1]}', InputFileError, "damaged"),
        (
            "model_weights_config.json",
            replace(b'"use_pickle": false', b'"use_pickle": true'),
            InputFileError,
            "weight '0.weight' is pickled",
        ),
        (
            NETWORK,
            replace(b"torch.ops.aten.relu.default", b"torch.hub.load"),
            UnsupportedModelError,
            "'torch.hub.load'",
        ),
        (NETWORK, replace(b"aten.relu.default", b"aten.from_file.default"), UnsupportedModelError, "from_file"),
        (
            NETWORK,
            replace(b"torch.ops.aten.relu.default", b"_operator.methodcaller"),
            UnsupportedModelError,
            "methodcaller",
        ),
        (NETWORK, replace(b"torch.ops.aten.relu.default", b"#custom:op"), UnsupportedModelError, "#custom:op"),
        (NETWORK, replace(b"Symbol('", b"__import__('os').system('"), InputFileError, "is not a plain expression"),
        (NETWORK, replace(b"positive=True", b"positive=exit()"), InputFileError, "is not a plain expression"),
        (NETWORK, replace(b"builtins.tuple", b"collections.defaultdict"), InputFileError, "collections.defaultdict"),
        ("weights/weight_0", lambda content: content[:8], InputFileError, "cannot read the file"),
    ],
)
def test_parts_that_are_damaged_or_hostile(
    edited: Callable[..., Path], part: str, edit: Edit | None, error: type[TvmoptError], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        load(edited(part, edit))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ("net/data/constants/opaque_obj_0", "which no exported network needs"),
        ("net/data/constants/custom_obj_0", "which no exported network needs"),
        ("net/data/aotinductor/model/code.so", "which no exported network needs"),
        ("net/data/weights/model.pt", "which no exported network needs"),
        ("net/models/model.json", "two parts with the same name"),
        ("net/Models/model.json", "two parts with the same name"),
        ("other/models/model.json", "more than one top folder"),
        ("../escaped", "more than one top folder"),
    ],
)
def test_parts_that_do_not_belong_there(edited: Callable[..., Path], added: str, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        check_archive(edited(added=added))


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("plain", [True, False])
def test_pickles_among_the_example_inputs_are_not_run(edited: Callable[..., Path], tmp_path: Path, plain: bool) -> None:
    trace = tmp_path / "ran"
    content = io.BytesIO()
    inputs = ((Hostile(trace),), {})
    if plain:
        pickle.dump(inputs, content)
    else:
        torch.save(inputs, content)
    with pytest.raises(InputFileError, match="pickles more than tensors"):
        load(edited("sample_inputs/model.pt", lambda _: content.getvalue()))
    assert not trace.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


def test_a_program_that_fails_on_its_own_inputs(edited: Callable[..., Path]) -> None:
    path = edited(NETWORK, replace(b"aten.linear.default", b"aten.bilinear.default"))
    with pytest.raises(TvmoptError) as raised:
        export_program(load_program(ModelSource(str(path), "pt2", path)))
    assert "raised" in str(raised.value) or "cannot read" in str(raised.value)


def test_guards_are_not_run(edited: Callable[..., Path], tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    guard = f"__import__('os').mkdir({str(trace)!r}) is None"

    def add_guard(content: bytes) -> bytes:
        network = json.loads(content)
        network["guards_code"] = [guard]
        return json.dumps(network).encode()

    path = edited(NETWORK, add_guard)
    program = load_program(ModelSource(str(path), "pt2", path))
    program.module()(torch.ones(4, 3))
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, b"PK\x03\x04" + bytes(100)])
def test_files_that_are_no_archives(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match=r"not a \.pt2 archive"):
        check_archive(path)


def test_a_truncated_archive(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(saved.read_bytes()[:2000])
    with pytest.raises(InputFileError, match=r"not a \.pt2 archive"):
        check_archive(path)


def test_a_module_that_was_pickled_under_this_suffix(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(InputFileError, match=r"data\.pkl"):
        check_archive(path)


def test_an_archive_that_unpacks_to_more_than_any_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "tvmopt.pipeline.importers.pytorch.pt2_archive.MAX_BYTES", 10**6
    )  # two gigabytes would take seconds to write
    path = tmp_path / "net.pt2"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("net/models/model.json", bytes(10**6 + 1))
    assert path.stat().st_size < 10**4
    with pytest.raises(InputFileError, match="unpacks to 1000001 bytes"):
        check_archive(path)
