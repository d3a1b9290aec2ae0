"""The artifact: its bytes, reading it back, running it inside a program."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tvmopt.pipeline.artifact.format import ArtifactParts, read_parts, save_artifact
from tvmopt.pipeline.artifact.loaded import load_artifact
from tvmopt.pipeline.errors import InputFileError, RuntimeMissingError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The two convolutions, compiled."""
    path = tmp_path / "model.tar"
    path.write_bytes(tiny.artifact())
    return path


def test_saved_artifacts_read_back(path: Path, tmp_path: Path) -> None:
    parts = read_parts(path)
    assert parts.manifest["inputs"] == [{"name": "x", "shape": [1, 8, 14, 14], "dtype": "float32"}]
    assert parts.manifest["model"]["name"] == "two"
    assert sum(parts.manifest["memory"]["storage_bytes"]) == parts.manifest["memory"]["activations_bytes"] > 0
    copy = tmp_path / "copy.tar"
    save_artifact(parts, copy)
    assert copy.read_bytes() == path.read_bytes()


def test_a_failed_write_leaves_what_was_there(path: Path) -> None:
    parts = read_parts(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="Object arrays"):
        save_artifact(replace(parts, inputs={"x": np.array([{}], dtype=object)}), path)
    manifest = {**parts.manifest, "oops": object()}
    with pytest.raises(TypeError):
        save_artifact(replace(parts, manifest=manifest), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_running(path: Path) -> None:
    loaded = load_artifact(path)
    first = loaded.run(loaded.golden_inputs)["y"]
    np.testing.assert_allclose(first, loaded.golden_outputs["y"], rtol=1e-4, atol=1e-4)
    kept = first.copy()
    loaded.set_inputs({"x": np.zeros_like(loaded.golden_inputs["x"])})
    loaded.run_only()
    assert not loaded.outputs()["y"].any()
    np.testing.assert_array_equal(first, kept)  # the caller owns a result; later runs do not change it


def test_inputs_in_any_memory_order(path: Path) -> None:
    loaded = load_artifact(path)
    right = loaded.golden_inputs["x"]
    expected = loaded.run({"x": right})["y"]
    for array in (np.asfortranarray(right), np.repeat(right, 2, axis=3)[..., ::2]):
        assert not array.flags.c_contiguous
        np.testing.assert_array_equal(loaded.run({"x": array})["y"], expected)


@pytest.mark.slow
def test_a_program_may_compile_after_it_has_loaded_an_artifact(path: Path, repository: Path) -> None:
    code = f"""
import tvmopt
loaded = tvmopt.load_artifact(__import__("pathlib").Path({str(path)!r}))
before = loaded.run(loaded.golden_inputs)["y"]
from tvm import relax
from tests import tiny
assert len(tiny.artifact()) > 0
assert (loaded.run(loaded.golden_inputs)["y"] == before).all()
"""
    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True)


def test_a_machine_without_a_feature_is_refused(path: Path) -> None:
    parts = read_parts(path)
    target = {**parts.manifest["target"], "name": "llvm", "features": ["amx_fp64"]}
    save_artifact(replace(parts, manifest={**parts.manifest, "target": target}), path)
    with pytest.raises(RuntimeMissingError, match="compiled for .* amx_fp64, this machine is "):
        load_artifact(path)


def test_every_missing_piece_of_the_manifest_is_noticed(path: Path) -> None:
    parts = read_parts(path)
    for key in ("inputs", "outputs", "target", "format_version"):
        save_artifact(replace(parts, manifest={k: v for k, v in parts.manifest.items() if k != key}), path)
        with pytest.raises(InputFileError, match="compile again"):
            read_parts(path)


@pytest.mark.parametrize(
    "specs",
    [
        [],
        [{"name": "y", "shape": [1, 16, 14, 15], "dtype": "float32"}],
        [{"name": "y", "shape": [1, -16, 14, 14], "dtype": "float32"}],
        [{"name": "y", "shape": [1, 16, 14, 14], "dtype": "float99"}],
        [{"name": 3, "shape": [1, 16, 14, 14], "dtype": "float32"}],
        "y",
    ],
)
def test_a_manifest_that_misstates_the_outputs(path: Path, specs: object) -> None:
    parts = read_parts(path)
    save_artifact(replace(parts, manifest={**parts.manifest, "outputs": specs}), path)
    with pytest.raises(InputFileError):
        read_parts(path)


def test_damage_anywhere_is_noticed_or_harmless(path: Path) -> None:
    """Random bytes are changed everywhere but in the library, whose hash is always checked."""
    content = path.read_bytes()
    library = read_parts(path).library
    start = content.index(library)
    outside = [*range(start), *range(start + len(library), len(content))]
    generator = random.Random(0)
    noticed = []
    for _ in range(400):
        damaged = bytearray(content)
        for position in generator.choices(outside, k=generator.choice((1, 3))):
            damaged[position] = generator.randrange(256)
        path.write_bytes(damaged[: generator.choice((None, None, generator.randrange(len(content))))])
        try:
            parts = read_parts(path)
        except InputFileError as error:
            noticed.append(str(error))
        else:
            assert parts.library == library
    assert len(noticed) > 200
    assert not any("\n" in line for line in noticed)


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "null", '{"format_version": 1}', "\x00", '"\\ud800"'])
def test_an_invalid_manifest(path: Path, text: str) -> None:
    content = path.read_bytes()
    parts = read_parts(path)
    empty = ArtifactParts(parts.library, {}, parts.inputs, parts.outputs, parts.weights)
    save_artifact(empty, path)
    written = path.read_bytes()
    manifest = json.dumps({"library_sha256": "0" * 64}, indent=2)
    size = len(manifest) + 1
    changed = written[:512] + (text.encode(errors="surrogatepass") + b" " * size)[:size] + written[512 + size :]
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(InputFileError, match=r"manifest\.json|format version"):
        read_parts(path)
