"""``tvmopt runtimes``: the runtimes that a model can be compared on."""

from __future__ import annotations

import click

from tvmopt.cli.consoles import output_width

MOST_COLUMNS = 100
"""Longer lines of prose are hard to read."""


@click.command()
def command() -> None:
    """List the runtimes to compare with: which are installed, their versions, how to get the rest."""
    from tvmopt.benchmarks.runtimes.registry import RUNTIMES

    width = max(len(runtime.name) for runtime in RUNTIMES)
    blanks = " " * (width + 2)
    room = min(MOST_COLUMNS, output_width())
    for runtime in RUNTIMES:
        missing = runtime.missing()
        versions = ", ".join(f"{name} {version}" for name, version in runtime.versions().items())
        state = click.wrap_text(missing or versions, room, blanks, blanks).removeprefix(blanks)
        name = click.style(f"{runtime.name:<{width}}", bold=True)
        click.echo(f"{name}  {click.style(state, fg='yellow' if missing else 'green')}")
        click.echo(click.wrap_text(runtime.about, room, blanks, blanks))
