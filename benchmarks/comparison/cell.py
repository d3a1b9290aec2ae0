"""One cell of a comparison: all runtimes on one model at one batch size and thread count, in turn."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from tvmopt.benchmarks.comparison.admission import Cell, admit
from tvmopt.benchmarks.comparison.participant import Participant
from tvmopt.benchmarks.comparison.search import search_parameters
from tvmopt.benchmarks.machine.other_load import OtherLoad
from tvmopt.benchmarks.machine.roofline import Roofline
from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.options import MeasureOptions
from tvmopt.benchmarks.measurements.search import Search
from tvmopt.benchmarks.measurements.statistics import MIN_ROUNDS
from tvmopt.benchmarks.measurements.types import Measurement
from tvmopt.benchmarks.profiling.profile_runtimes import Profiling, profile_layers
from tvmopt.benchmarks.runtimes.base import Runtime, cores_of
from tvmopt.benchmarks.workers.prepared_model import PreparedModel
from tvmopt.pipeline.errors import CancelledError
from tvmopt.pipeline.support.progress import Event, Steps

UNSEEDED = "two calls of the model's factory gave different networks: seed its weights"
UNSTEADY = "gave other outputs when it was run again"


def count_steps(runtimes: int, options: MeasureOptions, *, layers: bool, search: bool) -> int:
    """Number of steps of a cell: preparing each runtime, the rounds, and for each its profile or search if wanted."""
    return runtimes * (1 + layers + search) + options.rounds


@dataclass(frozen=True, slots=True)
class RowMeasured(Event):
    """A row of a comparison is complete."""

    row: Measurement

    def __str__(self) -> str:
        row = self.row
        told = f"{row.latency_s.median * 1e3:.3g} ms" if row.latency_s else row.message
        return f"{row.runtime}, batch {row.batch}, threads {row.threads}: {told}"


@dataclass(frozen=True, slots=True)
class CellResult:
    """The result of a cell.

    Attributes:
        rows: in the order of the runtimes. If the run was stopped during the rounds, the results so far, or none if
            there are too few for an interval.
        whole: whether all rounds were completed, and the layers profiled if requested.
        busy_cores: cores that other programs kept busy during the rounds, on average.
        layers: the profiles; None when not requested or not finished.
    """

    rows: tuple[Measurement, ...]
    whole: bool
    busy_cores: float
    layers: LayerTable | None = None


def measure_cell(cell: Cell, steps: Steps) -> CellResult:
    """Measures one cell.

    Raises:
        KeyboardInterrupt: on Ctrl-C before the first round.
        CancelledError: when the listener requests a stop before the first round.
    """
    with ExitStack() as stack:
        searches = _find(cell, steps)
        rows: dict[str, Measurement] = {}
        contenders: list[Participant] = []
        for runtime in cell.runtimes:
            steps.begin(f"{cell.where}: {runtime.title}, getting ready")
            entry = _ready(cell, runtime, searches.get(runtime.name), stack)
            if isinstance(entry, Participant):
                contenders.append(entry)
            else:
                rows[runtime.name] = entry
        others = OtherLoad(pid for contender in contenders if (pid := contender.pid) is not None)
        rounds = _take_rounds(cell, contenders, steps)
        busy_cores = round(others.busy_cores(), 2)
        if rounds < MIN_ROUNDS:
            return CellResult((), False, busy_cores)
        for contender in contenders:
            name = contender.runtime.name
            row = replace(contender.finish(rounds), threads=len(cell.cores), search=searches.get(name))
            rows[name] = _explain(row, cell.subject)
    ordered = tuple(rows[runtime.name] for runtime in cell.runtimes)
    for row in ordered:
        steps.listener.tell(RowMeasured(row))
    whole = rounds == cell.options.rounds
    if cell.roofline is None or not whole:
        return CellResult(ordered, whole, busy_cores)
    try:
        return CellResult(ordered, True, busy_cores, _profile(cell, cell.roofline, ordered, steps))
    except (KeyboardInterrupt, CancelledError):
        return CellResult(ordered, False, busy_cores)


def _profile(cell: Cell, roofline: Roofline, rows: Sequence[Measurement], steps: Steps) -> LayerTable:
    """Profiles the runtimes that were measured, layer by layer."""
    measured = {row.runtime for row in rows if row.latency_s is not None}
    runtimes = tuple(runtime for runtime in cell.runtimes if runtime.name in measured)
    found = {row.runtime: row.search.found for row in rows if row.search}
    profiling = Profiling(cell.subject, runtimes, cell.cores, cell.logs, roofline, cell.options, found)
    return profile_layers(profiling, lambda runtime: steps.begin(f"{cell.where}: {runtime.title}, layer by layer"))


def _find(cell: Cell, steps: Steps) -> dict[str, Search]:
    """What searching each runtime's parameters found, by name; those without a search are left out."""
    if cell.search is None:
        return {}
    searches = {}
    for runtime in cell.runtimes:
        steps.begin(f"{cell.where}: {runtime.title}, searching its parameters")
        search = search_parameters(cell, runtime, steps.listener)
        if search is not None:
            searches[runtime.name] = search
    return searches


def _ready(cell: Cell, runtime: Runtime, search: Search | None, stack: ExitStack) -> Participant | Measurement:
    """A contender that has loaded the model, or the row of a runtime that takes no part."""
    entry = admit(cell, runtime, search.found if search else {})
    if isinstance(entry, Participant):
        stack.callback(entry.close)
        entry.start(cores_of(cell.cores, entry.job.parameters), cell.subject.reference_outputs)
    return entry


def _take_rounds(cell: Cell, contenders: Sequence[Participant], steps: Steps) -> int:
    """Gives every contender its turn in each round; returns the number of completed rounds."""
    for number in range(cell.options.rounds):
        try:
            steps.begin(f"{cell.where}: round {number + 1} of {cell.options.rounds}")
            for contender in contenders:
                contender.take_turn()
                steps.listener.check()
        except (KeyboardInterrupt, CancelledError):
            return number
    return cell.options.rounds


def _explain(row: Measurement, subject: PreparedModel) -> Measurement:
    """Replaces the message when the reference's own row is wrong: the model or the reference is not deterministic."""
    if row.status == "wrong" and row.runtime == subject.reference:
        return replace(row, message=UNSEEDED if subject.model.source.factory is not None else UNSTEADY)
    return row
