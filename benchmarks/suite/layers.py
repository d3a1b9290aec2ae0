"""Profiles the example networks layer by layer for ``nox -s bench -- --layers``.

It only profiles and makes no comparison. Schema ``tvmopt-profiles``, version 1: ``profiles[]``, each a document of
`benchmarks.profiling.profile_model`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvmopt.benchmarks.measurements.files import write_document, write_text
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.profiling.profile_model import ProfileOptions, profile_model
from tvmopt.benchmarks.report import words
from tvmopt.benchmarks.report.layer_losses import find_losses, losses_in_columns, losses_in_markdown
from tvmopt.benchmarks.report.view import title_of
from tvmopt.pipeline.support.progress import Listener

SCHEMA = "tvmopt-profiles"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class LayerBench:
    """What to profile.

    Attributes:
        models: each MODEL as on the command line.
        threads: thread counts.
        logs: folder of tuning records.
        seconds: approximate profiling time of each runtime.
    """

    models: tuple[str, ...]
    threads: tuple[int, ...]
    logs: Path
    seconds: float = 3.0


def profile_networks(bench: LayerBench, listener: Listener) -> Iterator[dict[str, Any]]:
    """Profiles the models one after the other, on each thread count.

    Raises:
        TvmoptError: any error from importing a model or reading the logs.
    """
    for model in bench.models:
        for threads in bench.threads:
            options = ProfileOptions(model, threads=threads, logs=(bench.logs,), seconds=bench.seconds)
            yield profile_model(options, listener)


def losses_of(document: dict[str, Any]) -> str:
    """The layers of one profile where we lose most, for a terminal."""
    table = LayerTable.from_json(document)
    lines = [heading_of(document), *(f"{title_of(name)}: {note}" for name, note in document["notes"].items())]
    lines += [f"{title_of(name)}: {entry.message}" for name, entry in table.absent.items()]
    return "\n".join([*lines, "", losses_in_columns(find_losses(table))])


def write_profiles(documents: Sequence[dict[str, Any]], stem: Path) -> tuple[Path, Path]:
    """Writes the profiles as JSON, and the layers where we lose most as Markdown.

    Args:
        documents: documents of `benchmarks.profiling.profile_model`, at least one.
        stem: the files' path without a suffix.

    Raises:
        InputFileError: when they cannot be written.
    """
    json_file, text_file = Path(f"{stem}.json"), Path(f"{stem}.md")
    write_document({"schema": SCHEMA, "schema_version": SCHEMA_VERSION, "profiles": list(documents)}, json_file)
    environment = documents[0]["environment"]
    parts = [f"{environment['cpu']}, {environment['os']}"]
    for document in documents:
        parts += [f"## {heading_of(document)}", *losses_in_markdown(find_losses(LayerTable.from_json(document)))]
    write_text("\n\n".join(parts) + "\n", text_file)
    return json_file, text_file


def heading_of(document: dict[str, Any]) -> str:
    """The profile's heading: ``resnet50, batch 1, 2 threads``."""
    return f"{document['model']['name']}, {words.where(document['batch'], document['threads'])}"
