"""The report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tvmopt.benchmarks.measurements.layer_table import LayerTable
from tvmopt.benchmarks.measurements.types import Comparison
from tvmopt.benchmarks.report.layer_view import view_layers
from tvmopt.benchmarks.report.machines import Machine, group_by_machine, unlike_warning
from tvmopt.benchmarks.report.overview import MOST, SWEEP, view_overview, view_sweep
from tvmopt.benchmarks.report.plots.latency import draw_plots
from tvmopt.benchmarks.report.plots.layers import draw_layer_plots
from tvmopt.benchmarks.report.protocol import view_protocol
from tvmopt.benchmarks.report.searches import HEADS, view_searches
from tvmopt.benchmarks.report.view import (
    baseline_of,
    title_of,
    view_cells,
    view_environment,
    view_notes,
    view_runtimes,
    view_start,
)
from tvmopt.pipeline.errors import RuntimeMissingError

_TEMPLATES = Path(__file__).resolve().parent / "templates"


def render_page(comparisons: Sequence[Comparison]) -> str:
    """The page over all `comparisons`, which may come from several machines.

    Raises:
        RuntimeMissingError: when jinja2 or matplotlib is not installed.
    """
    try:
        import jinja2
        from markupsafe import Markup
    except ImportError:
        raise RuntimeMissingError("a page needs jinja2: pip install 'tvmopt[compare]'") from None
    loader = jinja2.FileSystemLoader(_TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    # These are our own drawings; matplotlib has escaped all text from the file.
    environment.filters["drawing"] = Markup
    machines = group_by_machine(comparisons)
    names = list(dict.fromkeys(str(comparison.model["name"]) for comparison in comparisons))
    return environment.get_template("report.html.j2").render(
        title=", ".join(names),
        warning=unlike_warning(machines),
        sweep_heads=(SWEEP, MOST.capitalize()),
        search_heads=[head.capitalize() for head in HEADS],
        layered=any(comparison.layers for comparison in comparisons),
        machines=[_machine(machine) for machine in machines],
    )


def _machine(machine: Machine) -> dict[str, Any]:
    return {
        "label": machine.label,
        "software": machine.software,
        "environment": view_environment(machine.comparisons[0].environment),
        "overview": view_overview(machine.comparisons) if len(machine.comparisons) > 1 else None,
        "comparisons": [_comparison(comparison) for comparison in machine.comparisons],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "name": comparison.model["name"],
        "model": comparison.model,
        "created": comparison.created.replace("T", " ").replace("+00:00", " UTC"),
        "baseline": title_of(baseline_of(comparison)),
        "notes": view_notes(comparison),
        "cells": view_cells(comparison),
        "plots": draw_plots(comparison),
        "layers": [
            {"view": view_layers(table), "plots": draw_layer_plots(table, _salt(comparison, table))}
            for table in comparison.layers
        ],
        "sweep": view_sweep(comparison),
        "searches": view_searches(comparison),
        "start": view_start(comparison),
        "runtimes": view_runtimes(comparison),
        "protocol": view_protocol(comparison),
    }


def _salt(comparison: Comparison, table: LayerTable) -> str:
    """A salt that makes identifiers in the table's drawings unique on the page."""
    return f"{comparison.model['name']}{comparison.created}{table.batch},{table.threads}"
