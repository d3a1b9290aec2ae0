"""The artifact: a tar with the compiled library, its weights, a JSON manifest, and golden inputs and outputs.

Loading needs neither a compiler nor the model's framework; a model for a GPU, or one that sorts, needs TVM's runtime.
Reading an artifact is safe whatever it holds. Running it executes its library, so trust it as you would trust a
program.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.artifact.native_library import reserve
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.support.files import replaced
from tvmopt.pipeline.support.fit import mismatch
from tvmopt.pipeline.support.npz import read_npz, write_npz
from tvmopt.pipeline.types import Step

Array = npt.NDArray[Any]

FORMAT_VERSION = 3
PIECE = 1 << 20
"""Bytes read at once."""
LIBRARY, WEIGHTS, MANIFEST, GOLDEN = "model.so", "weights.bin", "manifest.json", "golden.npz"


@dataclass(frozen=True, slots=True)
class ArtifactParts:
    """What an artifact is made of.

    Attributes:
        library: the shared library's bytes.
        manifest: the library's inputs, outputs and origin.
        inputs: golden inputs by name.
        outputs: the reference's outputs for them, by name.
        weights: constants as the kernels read them, dtype uint8; None where TVM keeps them in the library.
    """

    library: bytes
    manifest: Mapping[str, Any]
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    weights: Array | None = None


def save_artifact(parts: ArtifactParts, path: Path) -> None:
    """Writes the tar at `path`: the same bytes for the same parts, and never a partial file.

    Raises:
        InputFileError: when the folder does not exist or cannot be written.
    """
    golden = io.BytesIO()
    arrays = {f"input:{name}": array for name, array in parts.inputs.items()}
    arrays |= {f"output:{name}": array for name, array in parts.outputs.items()}
    write_npz(golden, arrays)
    manifest = dict(parts.manifest, library_sha256=_sha256(parts.library))
    members = [(GOLDEN, golden.getvalue()), (LIBRARY, parts.library)]
    if parts.weights is not None:
        manifest["weights_sha256"] = _sha256(parts.weights)
        members.append((WEIGHTS, parts.weights.tobytes()))
    text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    members.insert(0, (MANIFEST, text.encode()))
    with replaced(path) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))


def read_parts(path: Path) -> ArtifactParts:
    """The parts of the artifact at `path`, checked.

    Raises:
        InputFileError: when it is missing, not an artifact, truncated, hostile, or of another format version.
    """
    if path.is_dir():
        raise InputFileError(f"{path} is a directory; an artifact is a .tar that `tvmopt compile` wrote")
    if not path.is_file():
        raise InputFileError(f"{path} does not exist; an artifact is a .tar that `tvmopt compile` wrote")
    try:
        with tarfile.open(path, mode="r:") as tar:
            contents = {member.name: _member(path, tar, member) for member in tar.getmembers()}
    except (tarfile.TarError, EOFError, OSError) as error:
        raise InputFileError(f"{path} is not a readable tar ({error}); write it again with `tvmopt compile`") from None
    missing = [name for name in (MANIFEST, GOLDEN, LIBRARY) if name not in contents]
    if missing:
        raise InputFileError(f"{path} is not an artifact: it lacks {', '.join(missing)}")
    manifest = _manifest(path, contents[MANIFEST].tobytes())
    for name, hashed in ((LIBRARY, "library_sha256"), (WEIGHTS, "weights_sha256")):
        if (name in contents or hashed in manifest) and _sha256(contents.get(name, b"")) != manifest.get(hashed):
            raise InputFileError(f"{path}: {name} is not what the manifest describes; the file was changed or damaged")
    try:
        arrays = read_npz(io.BytesIO(contents[GOLDEN].tobytes()))
    except ValueError as error:
        raise InputFileError(f"{path}: {GOLDEN} cannot be read: {error}") from None
    inputs = {name.removeprefix("input:"): a for name, a in arrays.items() if name.startswith("input:")}
    outputs = {name.removeprefix("output:"): a for name, a in arrays.items() if name.startswith("output:")}
    for what, golden in (("inputs", inputs), ("outputs", outputs)):
        reason = mismatch(golden, manifest[what])
        if reason:
            raise InputFileError(f"{path}: {GOLDEN} is not what the manifest describes: among its {what}, {reason}")
    weights = contents.get(WEIGHTS)
    return ArtifactParts(contents[LIBRARY].tobytes(), manifest, inputs, outputs, weights)


def _sha256(content: Any) -> str:
    return hashlib.sha256(content).hexdigest()


def _member(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Array:
    """The bytes of one member; nothing is ever extracted to the paths that the archive names."""
    if not member.isfile() or member.name not in (MANIFEST, GOLDEN, LIBRARY, WEIGHTS):
        kind = "a link" if member.issym() or member.islnk() else "an entry"
        raise InputFileError(f"{path} is not an artifact: it has {kind} {member.name!r}, which does not belong there")
    if member.size > path.stat().st_size:
        raise InputFileError(f"{path} is truncated: {member.name} should have {member.size} bytes, more than the file")
    file = tar.extractfile(member)
    content = reserve(member.size) if member.name == WEIGHTS else np.empty(member.size, np.uint8)
    if not isinstance(file, io.BufferedReader) or _fill(content, file) != member.size:
        raise InputFileError(f"{path} is truncated in {member.name}; write it again with `tvmopt compile`")
    return content


def _fill(content: Array, file: io.BufferedReader) -> int:
    """Reads into `content` piece by piece, because tarfile allocates as much again as a read asks for."""
    done = 0
    while done < content.size:
        count = file.readinto(content[done : done + PIECE].data)
        if not count:
            break
        done += count
    return done


def _manifest(path: Path, text: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path}: {MANIFEST} is not JSON: {error}") from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise InputFileError(f"{path}: format version {version!r}, this tvmopt reads {FORMAT_VERSION}; compile again")
    try:
        _check_manifest(manifest)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputFileError(f"{path}: {MANIFEST} does not describe a model ({reason}); compile again") from None
    return dict(manifest)


def _check_manifest(manifest: Mapping[str, Any]) -> None:
    """Checks what loading and running rely on.

    Raises:
        AttributeError, KeyError, TypeError, ValueError: when some of it is missing or of the wrong type.
    """
    target = manifest["target"]
    if not manifest["outputs"]:
        raise ValueError("no outputs")
    texts = [manifest["library_sha256"], target["name"], target["arch"], target["isa"], *target["features"]]
    for spec in (*manifest["inputs"], *manifest["outputs"]):
        texts += [spec["name"], spec["dtype"]]
        np.dtype(spec["dtype"])
        if not all(type(size) is int and size >= 0 for size in spec["shape"]):
            raise ValueError(f"shape {spec['shape']!r} of {spec['name']!r}")
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise TypeError(f"{wrong[0]!r} where a string should be")
    for step in manifest["steps"]:
        Step.from_json(step)
    if type(target["threads"]) is not int or target["threads"] < 1:
        raise ValueError(f"threads {target['threads']!r}")
