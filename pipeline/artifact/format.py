"""The artifact: a tar with the compiled library, its weights, a JSON manifest, and golden inputs and outputs.

A model whose inputs' sizes were left open may be compiled for several: the tar then has a library and golden arrays for
each (``model-1.so``, ``golden-1.npz``, …), the manifest lists the further ones in ``others``, and all read one block of
weights.

Loading needs neither a compiler nor the model's framework; a model for a GPU, or one that sorts, needs TVM's runtime.
Reading an artifact is safe whatever it holds. Running it executes its library, so trust it as you would trust a
program.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvmopt.pipeline.artifact.native_library import reserve
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.support.files import replaced
from tvmopt.pipeline.support.fit import cuts_in, listed_results, mismatch
from tvmopt.pipeline.support.npz import read_npz, write_npz
from tvmopt.pipeline.types import Step

Array = npt.NDArray[Any]

FORMAT_VERSION = 3
PIECE = 1 << 20
"""Bytes read or written at once."""
LIBRARY, WEIGHTS, MANIFEST, GOLDEN = "model.so", "weights.bin", "manifest.json", "golden.npz"
MEMBER = re.compile(r"manifest\.json|weights\.bin|model(-[1-9]\d{0,3})?\.so|golden(-[1-9]\d{0,3})?\.npz")
"""Names that an artifact's members may have."""
OTHERS = "others"
"""The manifest's list of the sizes after the first; each entry has what differs from the rest of the manifest."""


@dataclass(frozen=True, slots=True)
class Sized:
    """A model compiled for one size of its inputs.

    Attributes:
        library: the shared library's bytes.
        manifest: the library's inputs, outputs and origin.
        inputs: golden inputs by name.
        outputs: the reference's outputs for them, by name.
    """

    library: bytes
    manifest: Mapping[str, Any]
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class ArtifactParts(Sized):
    """What an artifact is made of: the model in its first size, and all that comes with it.

    Attributes:
        weights: constants as the kernels read them, dtype uint8; None where TVM keeps them in the library.
        others: the model in its other sizes, for the same target.
    """

    weights: Array | None = None
    others: tuple[Sized, ...] = ()

    def sizes(self) -> tuple[Sized, ...]:
        """The model in all its sizes."""
        return (self, *self.others)


def save_artifact(parts: ArtifactParts, path: Path, hashed: Callable[[], str] | None = None) -> None:
    """Writes the tar at `path`: the same bytes for the same parts, and never a partial file.

    Args:
        parts: what it is made of.
        path: the file.
        hashed: gives `sha256` of the weights, if that is being computed; asked when all else is written.

    Raises:
        InputFileError: when the folder does not exist or cannot be written.
    """
    manifest = _hashed(parts)
    if parts.others:
        full = [_hashed(other) for other in parts.others]
        manifest[OTHERS] = [{name: one[name] for name in one if one[name] != manifest.get(name)} for one in full]
    members: list[tuple[str, bytes | memoryview]] = []
    for index, size in enumerate(parts.sizes()):
        members += [(_numbered(GOLDEN, index), _golden_bytes(size)), (_numbered(LIBRARY, index), size.library)]
    if parts.weights is not None:
        manifest["weights_sha256"] = _UNKNOWN
        members.append((WEIGHTS, parts.weights.data))
    members.insert(0, (MANIFEST, _text(manifest)))
    with replaced(path) as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            tar.copybufsize = PIECE  # type: ignore[attr-defined]  # typeshed does not know it
            for name, content in members:
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(content), 0o644
                tar.addfile(entry, _Reader(content))  # type: ignore[arg-type]  # what is read is only written
        if parts.weights is not None:
            # The manifest comes first, where its last part was left open: hashing needs another core than writing.
            manifest["weights_sha256"] = sha256(parts.weights) if hashed is None else hashed()
            file.seek(tarfile.BLOCKSIZE)  # behind the header of the first member
            file.write(_text(manifest))


_UNKNOWN = "0" * 64
"""Stands for a hash, with as many digits."""


def _text(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode()


class _Reader:
    """Reads from memory without copies."""

    def __init__(self, content: bytes | memoryview) -> None:
        self._left = memoryview(content)

    def read(self, size: int) -> memoryview:
        """The next `size` bytes."""
        piece, self._left = self._left[:size], self._left[size:]
        return piece


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
    _require(path, contents, (MANIFEST, GOLDEN, LIBRARY))
    manifest, *others = _manifests(path, contents[MANIFEST].tobytes())
    if (WEIGHTS in contents or "weights_sha256" in manifest) and sha256(contents.get(WEIGHTS, b"")) != manifest.get(
        "weights_sha256"
    ):
        raise _damaged(path, WEIGHTS)
    first, *rest = (_sized(path, contents, index, one) for index, one in enumerate((manifest, *others)))
    return ArtifactParts(first.library, first.manifest, first.inputs, first.outputs, contents.get(WEIGHTS), tuple(rest))


def _sized(path: Path, contents: Mapping[str, Array], index: int, manifest: Mapping[str, Any]) -> Sized:
    """The model in one size, checked."""
    library, golden = _numbered(LIBRARY, index), _numbered(GOLDEN, index)
    _require(path, contents, (golden, library))
    if sha256(contents[library]) != manifest["library_sha256"]:
        raise _damaged(path, library)
    try:
        arrays = read_npz(io.BytesIO(contents[golden].tobytes()))
    except ValueError as error:
        raise InputFileError(f"{path}: {golden} cannot be read: {error}") from None
    inputs = {name.removeprefix("input:"): a for name, a in arrays.items() if name.startswith("input:")}
    outputs = {name.removeprefix("output:"): a for name, a in arrays.items() if name.startswith("output:")}
    for what, pair, specs in (
        ("inputs", inputs, manifest["inputs"]),
        ("outputs", outputs, _cut_specs(manifest, outputs)),
    ):
        reason = mismatch(pair, specs)
        if reason:
            raise InputFileError(f"{path}: {golden} is not what the manifest describes: among its {what}, {reason}")
    return Sized(contents[library].tobytes(), manifest, inputs, outputs)


def _cut_specs(manifest: Mapping[str, Any], outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    """The model's outputs, those whose size is found at run time in the size of `outputs` if they can have it."""
    specs = {spec["name"]: spec for spec in listed_results(manifest)}
    for cut in cuts_in(manifest):
        shape, array = list(specs[cut.name]["shape"]), outputs.get(cut.name)
        if array is not None and array.ndim == len(shape):
            shape[cut.axis] = min(shape[cut.axis], array.shape[cut.axis])
        specs[cut.name] = {**specs[cut.name], "shape": shape}
    return list(specs.values())


def _require(path: Path, contents: Mapping[str, Array], names: Iterable[str]) -> None:
    missing = [name for name in names if name not in contents]
    if missing:
        raise InputFileError(f"{path} is not an artifact: it lacks {', '.join(missing)}")


def _damaged(path: Path, name: str) -> InputFileError:
    return InputFileError(f"{path}: {name} is not what the manifest describes; the file was changed or damaged")


def _numbered(name: str, index: int) -> str:
    """A member's name for the size number `index`: the first one's has no number."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}-{index}.{suffix}" if index else name


def _hashed(size: Sized) -> dict[str, Any]:
    """Its manifest with its library's hash."""
    return dict(size.manifest, library_sha256=sha256(size.library))


def _golden_bytes(size: Sized) -> bytes:
    golden = io.BytesIO()
    arrays = {f"input:{name}": array for name, array in size.inputs.items()}
    arrays |= {f"output:{name}": array for name, array in size.outputs.items()}
    write_npz(golden, arrays)
    return golden.getvalue()


def sha256(content: Any) -> str:
    """The hash of some bytes, as manifests have it."""
    return hashlib.sha256(content).hexdigest()


def _member(path: Path, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Array:
    """The bytes of one member; nothing is ever extracted to the paths that the archive names."""
    if not member.isfile() or not MEMBER.fullmatch(member.name):
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


def _manifests(path: Path, text: bytes) -> list[dict[str, Any]]:
    """The manifest of each size, the first one's with the list of the others."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputFileError(f"{path}: {MANIFEST} is not JSON: {error}") from None
    version = manifest.get("format_version") if isinstance(manifest, dict) else None
    if version != FORMAT_VERSION:
        raise InputFileError(f"{path}: format version {version!r}, this tvmopt reads {FORMAT_VERSION}; compile again")
    try:
        shared = {name: value for name, value in manifest.items() if name != OTHERS}
        manifests = [dict(manifest), *({**shared, **other} for other in manifest.get(OTHERS, ()))]
        for one in manifests:
            _check_manifest(one)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputFileError(f"{path}: {MANIFEST} does not describe a model ({reason}); compile again") from None
    return manifests


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
    cuts_in(manifest)
    for step in manifest["steps"]:
        Step.from_json(step)
    if type(target["threads"]) is not int or target["threads"] < 1:
        raise ValueError(f"threads {target['threads']!r}")
