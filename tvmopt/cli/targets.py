"""``tvmopt targets``: lists the targets by name, and the facts of one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from tvmopt.cli.consoles import output_width
from tvmopt.cli.options import threads_option
from tvmopt.cli.tables import LEAST, broken
from tvmopt.jobs.settings import resolve_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tvmopt.schedules.target import Target

_KIB = 1024


@click.command()
@click.argument("target", default="llvm")
@threads_option
def command(target: str, threads: int | None) -> None:
    """List the targets by name, then the facts of TARGET, by default this machine's CPU.

    TARGET is one of the names, or TVM's target as JSON.
    """
    from tvmopt.schedules.target import TARGETS

    facts = describe(resolve_target(target, threads))
    click.echo(table(TARGETS))
    click.echo(f"\nFacts of {target}:\n{table(facts)}")


def describe(target: Target) -> dict[str, str]:
    """The facts of `target` that templates and records use, with units."""
    return {
        "key": f"{target.key} (what tuning records are filed under)",
        "architecture": target.arch,
        "instruction set": f"{target.isa}: {target.registers} registers of {target.vector_bits} bits",
        "further features": ", ".join(target.features) or "none",
        "L1 data cache": f"{target.l1_bytes // _KIB} KiB a core",
        "L2 cache": f"{target.l2_bytes // _KIB} KiB a core",
        "threads": str(target.threads),
        "TVM's target": json.dumps(dict(target.tvm)),
    }


def table(rows: Mapping[str, str]) -> str:
    """Two aligned columns, indented by two; long text wraps within the second."""
    width = max(len(name) for name in rows)
    lines = []
    for name, meaning in rows.items():
        first, *others = broken(meaning, max(LEAST, output_width() - width - 4))
        lines += [f"  {name:<{width}}  {first}", *(" " * (width + 4) + line for line in others)]
    return "\n".join(lines)
