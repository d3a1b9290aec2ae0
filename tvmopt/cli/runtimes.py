"""``tvmopt runtimes``: what a model can be compared with."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """List the runtimes to compare with: which are installed, their versions, how to get the rest."""
    from tvmopt.benchmarks.runtimes.registry import RUNTIMES

    width = max(len(runtime.name) for runtime in RUNTIMES)
    for runtime in RUNTIMES:
        missing = runtime.missing()
        versions = ", ".join(f"{name} {version}" for name, version in runtime.versions().items())
        state = click.style(missing, fg="yellow") if missing else click.style(versions, fg="green")
        click.echo(f"{click.style(f'{runtime.name:<{width}}', bold=True)}  {state}")
        click.echo(click.wrap_text(runtime.about, 100, " " * (width + 2), " " * (width + 2)))
