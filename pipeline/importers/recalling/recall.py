"""Remembers imports: a model whose files were imported before is neither normalised nor run again.

An entry of the cache holds what the import found: the normalised model without its large weights, where these are in
the model's files, and the golden inputs and outputs. Its key covers all that the import depends on: the content of the
files, what the user asked for, the versions of ONNX, ONNX Runtime and what else imports such files, our own code, and
the processor, whose rounding the golden outputs have. Models that code makes are imported each time: what code does,
nothing but running it shows.
"""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from tvmopt.pipeline.devices.registry import LOCAL
from tvmopt.pipeline.errors import TvmoptError
from tvmopt.pipeline.importers.base import Stored
from tvmopt.pipeline.importers.golden import golden_pair
from tvmopt.pipeline.importers.load import load_parked
from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
from tvmopt.pipeline.importers.recalling.file_hash import hash_of, map_files
from tvmopt.pipeline.importers.recalling.stored_weights import StoredWeights, Weight, take_weight
from tvmopt.pipeline.importers.registry import find_importer
from tvmopt.pipeline.importers.source import model_name, parse_source
from tvmopt.pipeline.support.cache import Cache, digest, environment
from tvmopt.pipeline.support.memory import give_back_freed, let_go
from tvmopt.pipeline.support.npz import read_npz, write_npz
from tvmopt.pipeline.support.weights.light_model import without_weights
from tvmopt.pipeline.support.weights.parked import array_of, place_of
from tvmopt.pipeline.types import Draw, ImportedModel, ModelSource, cuts_of

Array = npt.NDArray[Any]

KIND = "import"
"""The kind of entries in the cache."""

MOST_BYTES = 1 << 27
"""A larger entry is not kept: it would drive too many others out of the cache."""

_FACTS, _MODEL = "facts", "model"
"""Names of an entry's arrays, beside those of weights, inputs, outputs and draws."""


def load_or_recall(
    spec: str,
    cache: Cache,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
    batch: int | None = None,
    input_values: Mapping[str, tuple[float, ...]] | None = None,
) -> ImportedModel:
    """As `load_model`, but recalls what an earlier import of the same files found; it is enough to compile for CPUs.

    Args:
        spec: as `load_model`.
        cache: has what earlier imports found.
        input_shapes: as `load_model`.
        batch: as `load_model`.
        input_values: as `load_model`.

    Returns:
        A model that has its golden inputs and outputs in place of `original`. Its large weights are apart from
        `normalized`, mapped from the user's files where these have them.

    Raises:
        TvmoptError: as `load_model`.
    """
    source = parse_source(spec, input_values)
    files = None if cache.folder is None else _files(source)
    if files is None:
        with _parking() as folder:
            return _with_weights_apart(_load(spec, folder, input_shapes, batch, input_values))
    asked = [sorted((name, list(given)) for name, given in (x or {}).items()) for x in (input_shapes, input_values)]
    hashed = hash_of(files.contents)
    key = digest(environment(), LOCAL.facts().cpu, source.kind, files.stored.versions, hashed, asked, batch)
    entry = cache.get(KIND, key)
    if entry is not None:
        return _recalled(source, entry, files.contents)
    stored = files.stored
    del files  # not needed for now: the import reads the files itself
    with _parking() as folder:
        model = _load(spec, folder, input_shapes, batch, input_values)
        content = _entry(model, stored)
        now = map_files(stored.files)
        if len(content) > MOST_BYTES or hash_of(now) != hashed:  # they changed meanwhile
            return _with_weights_apart(model)
    cache.put(KIND, key, content)
    # From here on, the weights are in the user's files alone.
    recalled = _recalled(source, content, now)
    return replace(recalled, checked_against=model.checked_against, unchecked=model.unchecked)


@contextmanager
def _parking() -> Iterator[Path]:
    """A folder for parked weights; what was mapped from its files stays."""
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
        yield Path(folder)


def _with_weights_apart(model: ImportedModel) -> ImportedModel:
    """`model` with its parked weights mapped, apart from `normalized`."""
    parked = [tensor for tensor in model.normalized.graph.initializer if place_of(tensor) is not None]
    if not parked:
        return model
    weights = {tensor.name: array_of(tensor) for tensor in parked}
    return replace(model, normalized=without_weights(model.normalized), weights=weights)


def _load(
    spec: str,
    folder: Path,
    input_shapes: Mapping[str, tuple[int, ...]] | None,
    batch: int | None,
    input_values: Mapping[str, tuple[float, ...]] | None,
) -> ImportedModel:
    """The imported model, with its golden pair in place of `original`."""
    model = load_parked(spec, folder, input_shapes, batch, input_values)
    model = replace(model, golden=golden_pair(model), original=onnx.ModelProto())
    give_back_freed()
    return model


class _Files(NamedTuple):
    """The files of a model, and their contents."""

    stored: Stored
    contents: list[Array]


def _files(source: ModelSource) -> _Files | None:
    """None where the files are not the whole model, or cannot be read: importing says why."""
    find = find_importer(source.kind).stored
    if find is None:
        return None
    try:
        stored = find(source)
        return _Files(stored, map_files(stored.files))
    except (OSError, ValueError, TvmoptError):
        return None


def _entry(model: ImportedModel, stored: Stored) -> bytes:
    """What `_recalled` makes a model from."""
    light = without_weights(model.normalized)
    find = StoredWeights(stored).find
    places, apart = {}, {}
    for tensor, kept in zip(model.normalized.graph.initializer, light.graph.initializer, strict=True):
        if place_of(tensor) is not None or (tensor.HasField("raw_data") and not kept.HasField("raw_data")):
            array = array_of(tensor)
            place = find(array)
            if place is None:
                apart[tensor.name] = np.frombuffer(array.tobytes(), np.uint8)  # .npz files lack some element types
            else:
                places[tensor.name] = place
            let_go(array)
    assert model.golden is not None
    inputs, outputs = model.golden
    groups: dict[str, Mapping[str, Array]] = {
        "weight": apart,
        "input": inputs,
        "output": outputs,
        "draw": {name: draw.given for name, draw in model.draws.items() if draw.given is not None},
    }
    facts = {
        "sha256": model.sha256,
        "places": places,
        "draws": {name: (draw.low, draw.high) for name, draw in model.draws.items()},
    }
    arrays = {f"{group}:{name}": array for group, members in groups.items() for name, array in members.items()}
    arrays[_FACTS] = np.frombuffer(json.dumps(facts).encode(), np.uint8)
    arrays[_MODEL] = np.frombuffer(light.SerializeToString(), np.uint8)
    block = io.BytesIO()
    write_npz(block, arrays)
    return block.getvalue()


def _recalled(source: ModelSource, entry: bytes, contents: Sequence[Array]) -> ImportedModel:
    """The model that `_entry` describes, with its weights in `contents`."""
    arrays = read_npz(io.BytesIO(entry))
    facts = json.loads(arrays.pop(_FACTS).tobytes())
    light = onnx.ModelProto.FromString(arrays.pop(_MODEL).tobytes())
    groups: dict[str, dict[str, Array]] = {"weight": {}, "input": {}, "output": {}, "draw": {}}
    for title, array in arrays.items():
        group, _, name = title.partition(":")
        groups[group][name] = array
    weights = {}
    for tensor in light.graph.initializer:
        shape, dtype = tuple(tensor.dims), np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
        if tensor.name in facts["places"]:
            weights[tensor.name] = take_weight(Weight(*facts["places"][tensor.name]), contents, shape, dtype)
        elif tensor.name in groups["weight"]:
            weights[tensor.name] = groups["weight"][tensor.name].view(dtype).reshape(shape)
    return ImportedModel(
        name=model_name(source),
        source=source,
        original=onnx.ModelProto(),
        normalized=light,
        inputs=tuple(map(tensor_spec, light.graph.input)),
        outputs=tuple(map(tensor_spec, light.graph.output)),
        sha256=facts["sha256"],
        draws={name: Draw(low, high, groups["draw"].get(name)) for name, (low, high) in facts["draws"].items()},
        weights=weights,
        golden=(groups["input"], groups["output"]),
        cuts=cuts_of(light),
    )
