"""Measurement files: versioned JSON, written whole or not at all, checked when read.

Schema ``tvmopt-comparison``, its versions:

1. ``schema``, ``schema_version``, ``created``, ``complete``, ``environment``, ``model``, ``protocol``,
   ``measurements[]`` (``runtime, variant, batch, threads, status, message, latency_s {median, mean, p50, p90, p99,
   stdev, interval, samples, turns}, fps, prepare_s, import_s, load_s, first_run_s, peak_memory_bytes, output_error
   {max_abs, relative, cosine}, settings``) and ``verdicts[]`` (``runtime, against, batch, threads, ratio, interval,
   verdict``). `benchmarks.measurements.types` describes each field, and `benchmarks.machine.environment` the
   environment. Times are in seconds, sizes in bytes.

2. also ``layers[]``, one for each cell that was profiled layer by layer (empty unless requested): ``batch,
   threads, order[]`` (layers' names), ``costs`` (by layer: ``layer, operator, inputs[], outputs[] {name, shape,
   dtype}, flops, integer_ops, parameters, read_bytes, written_bytes``), ``roofline {threads, peak_flops,
   bandwidth[]}`` or null, and ``profiles`` (by runtime: ``kernels[] {name, kind, detail, layers, seconds}, outside_s,
   profiled_s, whole_s``, or ``status, message`` without a profile). See `benchmarks.measurements.layer_table` and
   `benchmarks.measurements.layer_profile`. A file of version 1 is read as having no layers.

3. also ``relative_error``, the definition of ``relative`` in ``output_error``: ``largest``, the largest absolute
   difference over the largest magnitude of the reference, or ``l2``, the L2 norm of the difference over that of the
   reference. In files of versions 1 and 2 it is ``l2``. ``max_abs`` and ``relative`` are null where they are infinite;
   in every version ``cosine`` is the cosine itself, 1 for the same direction.

4. also ``method`` in ``protocol``: ``turns``, or ``dli`` with ``iterations``, the timed calls of every runtime, and
   without ``turn_s`` and ``max_calls``. Where ``method`` is missing, as in older files, it is ``turns``.

5. also ``search`` in a measurement of a runtime whose parameters were searched (``found`` by name, ``ratio, interval,
   confirmed, rounds, seconds, message``, ``trials[] {parameter, value, outcome, ratio, interval, message}``; see
   `benchmarks.measurements.search`), and then ``search`` in ``protocol``: its ``seconds``, ``turn_s``, ``max_rounds``
   and ``least_gain``. A file without them was not searched. Profiles also have ``operators[] {name, calls, seconds}``.

6. also ``accuracy`` where runtimes were judged on a labelled set: ``metric, percent, data, samples, skipped,
   preprocessing, reference, notes[], rows[] {runtime, title, variant, status, message, samples, values[] {name, value,
   low, high}, difference, chance}``; see `benchmarks.measurements.accuracy`. A file without it has no accuracy.

Schema ``tvmopt-suite``, versions as above: ``comparisons[]``, each a comparison.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tvmopt.benchmarks.measurements.accuracy import Accuracy
from tvmopt.benchmarks.measurements.json_fields import (
    boolean,
    list_of,
    mapping_of,
    non_negative,
    one_of,
    optional,
    positive,
    positive_int,
    text,
)
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.options import METHODS
from tvmopt.benchmarks.measurements.types import RELATIVE_ERRORS, Comparison, Measurement, Verdict
from tvmopt.pipeline.errors import InputFileError
from tvmopt.pipeline.support.files import replaced

SCHEMA = "tvmopt-comparison"
SUITE_SCHEMA = "tvmopt-suite"
SCHEMA_VERSION = 6
MAX_FILE_BYTES = 256 * 2**20
"""A larger file cannot be ours: a thousand rows of ten thousand samples are smaller."""

Item = TypeVar("Item")

_FIRST_WITH_LAYERS, _FIRST_WITH_RELATIVE_ERROR = 2, 3
_MODEL_TEXTS = ("name", "spec", "kind", "sha256", "input_data", "calibration", "reference", "reference_note")


def to_document(comparison: Comparison) -> dict[str, Any]:
    """The JSON document of `comparison`."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "created": comparison.created,
        "complete": comparison.complete,
        "environment": dict(comparison.environment),
        "model": dict(comparison.model),
        "protocol": dict(comparison.protocol),
        "measurements": [row.to_json() for row in comparison.measurements],
        "verdicts": [verdict.to_json() for verdict in comparison.verdicts],
        "layers": [table.to_json() for table in comparison.layers],
        "relative_error": comparison.relative_error,
        **({"accuracy": comparison.accuracy.to_json()} if comparison.accuracy else {}),
    }


def from_document(data: Any) -> Comparison:
    """The inverse of `to_document`.

    Raises:
        ValueError: with a one-line message that names the invalid field.
    """
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ValueError(f"it is not a comparison: its schema must be {SCHEMA!r}")
    version = _check_version(data)
    model = mapping_of(data, "model")
    for name in _MODEL_TEXTS:
        text(model, name)
    for name in ("checked_against", "unchecked"):
        optional(model, name, text)  # older files have none
    environment = mapping_of(data, "environment")
    for name in ("cpu", "architecture", "os", "kernel", "python"):
        text(environment, name)
    mapping_of(environment, "packages")
    known = version >= _FIRST_WITH_RELATIVE_ERROR
    relative_error: Any = one_of(data, "relative_error", RELATIVE_ERRORS) if known else "l2"
    if not list_of(data, "measurements"):
        raise ValueError("measurements is empty")
    return Comparison(
        created=text(data, "created"),
        complete=boolean(data, "complete"),
        environment=environment,
        model=model,
        protocol=_protocol(data),
        measurements=tuple(_each(data, "measurements", Measurement.from_json)),
        verdicts=tuple(_each(data, "verdicts", Verdict.from_json)),
        layers=tuple(_each(data, "layers", LayerTable.from_json)) if version >= _FIRST_WITH_LAYERS else (),
        relative_error=relative_error,
        accuracy=optional(data, "accuracy", lambda row, name: Accuracy.from_json(mapping_of(row, name))),
    )


def to_suite(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The JSON document of several comparisons."""
    return {"schema": SUITE_SCHEMA, "schema_version": SCHEMA_VERSION, "comparisons": list(documents)}


def from_suite(data: Any) -> tuple[Comparison, ...]:
    """The comparisons of a document of either schema.

    Raises:
        ValueError: with a one-line message that names the invalid field.
    """
    if isinstance(data, dict) and data.get("schema") == SUITE_SCHEMA:
        _check_version(data)
        return tuple(_each(data, "comparisons", from_document))
    return (from_document(data),)


def read_comparisons(path: Path) -> tuple[Comparison, ...]:
    """The comparisons in a measurement file.

    Raises:
        InputFileError: when there is no such file, or it is not a whole measurement file.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputFileError(f"{path}: too large for a measurement file ({path.stat().st_size} bytes)")
        return from_suite(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputFileError(f"{path}: cannot be read: {error.strerror}; expected a file of tvmopt compare") from None
    except RecursionError:
        raise InputFileError(f"{path}: not a measurement file of tvmopt compare: nested too deeply") from None
    except json.JSONDecodeError as error:
        message = f"{path}: not JSON (line {error.lineno}: {error.msg}); expected a file of tvmopt compare"
        raise InputFileError(message) from None
    except ValueError as error:
        raise InputFileError(f"{path}: not a measurement file of tvmopt compare: {error}") from None


def write_document(document: dict[str, Any], path: Path) -> None:
    """Writes a measurement file, whole or not at all.

    Raises:
        InputFileError: when it cannot be written.
    """
    write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", path)


def write_text(content: str, path: Path) -> None:
    """Writes `content` to `path`, whole or not at all.

    Raises:
        InputFileError: when it cannot be written.
    """
    with replaced(path) as file:
        file.write(content.encode())


def _check_version(data: Any) -> int:
    version = positive_int(data, "schema_version")
    if version > SCHEMA_VERSION:
        raise ValueError(f"schema_version is {version}, but this tvmopt reads up to {SCHEMA_VERSION}; update tvmopt")
    return version


def _protocol(data: Any) -> Mapping[str, Any]:
    protocol = mapping_of(data, "protocol")
    if "method" in protocol and one_of(protocol, "method", METHODS) == "dli":
        positive_int(protocol, "iterations")
    if "search" in protocol:
        search = mapping_of(protocol, "search")
        positive(search, "seconds")
        non_negative(search, "least_gain")
    return protocol


def _each(data: Any, name: str, read: Callable[[Any], Item]) -> list[Item]:
    rows = []
    for index, item in enumerate(list_of(data, name)):
        try:
            rows.append(read(item))
        except ValueError as error:
            raise ValueError(f"{name}[{index}]: {error}") from None
    return rows
