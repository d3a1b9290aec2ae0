"""Pieces of a graph that can be divided into kernels in several ways: all ways get tasks, and measuring decides.

The ways are `pipeline.graph.optimize.ALTERNATIVES`. A piece stays as it is unless there are records of both ways and
the alternative is clearly faster; of several such alternatives the fastest is used.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tvmopt.pipeline.graph.ir import Origin
from tvmopt.pipeline.graph.optimize import ALTERNATIVES, optimize
from tvmopt.pipeline.graph.pieces import Alternative, Piece
from tvmopt.pipeline.records.lookup import Records, applicable
from tvmopt.pipeline.records.ranking import CLEARLY
from tvmopt.pipeline.records.record import Record
from tvmopt.pipeline.support.cache import Cache, digest, environment
from tvmopt.pipeline.tasks.bind import BoundModel, bind
from tvmopt.pipeline.tasks.extract import extract_tasks
from tvmopt.pipeline.types import ImportedModel, Task
from tvmopt.schedules.target import Target


@dataclass(frozen=True, slots=True)
class Way:
    """A model with one alternative applied wherever possible, or with none.

    Attributes:
        name: the alternative's; empty for the pieces as they are.
        model: the bound model.
        pieces: what the alternative replaced.
    """

    name: str
    model: BoundModel
    pieces: tuple[Piece, ...]


def optimize_measured(
    model: ImportedModel,
    target: Target,
    records: Records | None,
    alternatives: Sequence[Alternative] = ALTERNATIVES,
    cache: Cache | None = None,
) -> BoundModel:
    """`model` optimised and bound, each piece divided in the way that is fastest according to the records.

    Args:
        model: the imported model.
        target: what layouts are planned for.
        records: tuning records; None leaves the pieces as they are.
        alternatives: the ways to replace pieces.
        cache: has what was chosen before, so that the records need not be read again.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    if records is None:
        return bind(optimize(model, target, alternatives=alternatives))
    depends = (environment(), records.digest(), model.sha256, target.to_json(), [one.name for one in alternatives])
    key = digest(*depends)
    found = None if cache is None else cache.get(_KIND, key)
    if found is not None:
        chosen = {(name, output) for name, output in json.loads(found)}
    else:
        apart, *others = optimize_all_ways(model, target, alternatives)
        chosen = _fastest(apart, others, records)
        if cache is not None:
            cache.put(_KIND, key, json.dumps(sorted(chosen)).encode())
        if not chosen:
            return apart.model
    return bind(optimize(model, target, lambda name, piece: (name, piece.output) in chosen, alternatives))


_KIND = "division"
"""The kind of entries in the cache."""


def optimize_all_ways(
    model: ImportedModel, target: Target, alternatives: Sequence[Alternative] = ALTERNATIVES
) -> tuple[Way, ...]:
    """`model` with its pieces as they are, then once for each alternative that can replace some of them.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    possible: dict[str, None] = {}  # a set that keeps its order

    def ask(name: str, _: Piece) -> bool:
        possible[name] = None
        return False

    apart = Way("", bind(optimize(model, target, ask, alternatives)), ())
    return (apart, *(_way(model, target, name, alternatives) for name in possible))


def _way(model: ImportedModel, target: Target, wanted: str, alternatives: Sequence[Alternative]) -> Way:
    pieces: list[Piece] = []

    def take(name: str, piece: Piece) -> bool:
        if name == wanted:
            pieces.append(piece)
        return name == wanted

    bound = bind(optimize(model, target, take, alternatives))
    return Way(wanted, bound, tuple(pieces))


def tasks_of_all_ways(
    model: ImportedModel, target: Target, alternatives: Sequence[Alternative] = ALTERNATIVES
) -> tuple[Task, ...]:
    """The tasks of `model`, followed by those of the kernels that it could be divided into instead, as alternatives.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    apart, *others = optimize_all_ways(model, target, alternatives)
    tasks = {task.name: task for task in extract_tasks(apart.model)}
    for way in others:
        for task in extract_tasks(way.model):
            tasks.setdefault(task.name, replace(task, alternative=True))
    return tuple(tasks.values())


def origins_of_all_ways(model: ImportedModel, target: Target) -> dict[str, Origin]:
    """The origins of values of `model`, by name, whichever way its pieces are divided.

    Raises:
        UnsupportedModelError: as `optimize`.
    """
    graphs = [way.model.graph for way in optimize_all_ways(model, target)]
    found = {name: origin for graph in graphs for name, origin in graph.origins.items()}
    # One way may compute a new value under a name that another way gives to a copy: such a name is left out.
    return {
        name: origin
        for name, origin in found.items()
        if all(graph.origins.get(name) == origin for graph in graphs if name in graph.values)
    }


def _fastest(apart: Way, others: Sequence[Way], records: Records) -> set[tuple[str, str]]:
    """Which alternative replaces which piece: the alternative's name and the name of the piece's result.

    Pieces that save most come first; a piece that shares a node with an earlier one is left alone.
    """
    saved = [
        (seconds, way.name, piece)
        for way in others
        for piece in way.pieces
        if (seconds := _saved_s(piece, apart.model, way.model, records)) is not None
    ]
    chosen, replaced = set(), set[str]()
    for _, name, piece in sorted(saved, key=lambda entry: -entry[0]):
        if replaced.isdisjoint(piece.before):
            chosen.add((name, piece.output))
            replaced.update(piece.before)
    return chosen


def _saved_s(piece: Piece, apart: BoundModel, other: BoundModel, records: Records) -> float | None:
    """How many seconds `other` saves in a run; None if that is not known, or not clear."""
    before = [_record_of(value, apart, records) for value in piece.before]
    after = [_record_of(value, other, records) for value in piece.after]
    known = [record for record in (*before, *after) if record is not None]
    # Times inside the model are not compared with times of isolated kernels.
    if len(known) < len(before) + len(after) or len({record.in_model for record in known}) > 1:
        return None
    before_s, after_s = (sum(record.median_s or 0.0 for record in part if record) for part in (before, after))
    return before_s - after_s if after_s * CLEARLY < before_s else None


def _record_of(value: str, model: BoundModel, records: Records) -> Record | None:
    kernel = model.kernel_of(value)
    return None if kernel is None else applicable(records, kernel)
