"""``tvmopt cache``: shows or clears what compiling and comparing keep on disk."""

from __future__ import annotations

import click

_MIB = 2**20


@click.group()
def command() -> None:
    """Show or clear the cache of compiled kernels, and of models that were converted for other runtimes.

    It is in $TVMOPT_CACHE, else in $XDG_CACHE_HOME/tvmopt, else in ~/.cache/tvmopt; TVMOPT_CACHE=off turns it off.
    """


@command.command()
def show() -> None:
    """Print where the cache is, what it holds, and how often it helped."""
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.tables import Column, Table
    from tvmopt.pipeline.support.cache import open_cache, open_conversions

    caches, console = (open_cache(), open_conversions()), make_console()
    if caches[0].folder is None:
        console.print("the cache is off")
        return
    every = [cache.facts() for cache in caches]
    table = Table(Column("kind"), Column("entries", number=True), Column("MiB", number=True))
    for facts in every:
        for kind, count in sorted(facts.entries.items()):
            table.add(kind, str(count), f"{facts.nbytes[kind] / _MIB:.1f}")
    console.print(table)
    for cache, facts in zip(caches, every, strict=True):
        held, most = sum(facts.nbytes.values()) / _MIB, cache.limit_bytes / _MIB
        console.print(f"{cache.folder}: {sum(facts.entries.values())} entries, {held:.1f} of at most {most:.0f} MiB")
        console.print(f"found {facts.hits} of {facts.hits + facts.misses} entries that were asked for")


@command.command()
def clear() -> None:
    """Remove all entries."""
    from tvmopt.pipeline.support.cache import open_cache, open_conversions

    for cache in (open_cache(), open_conversions()):
        if cache.folder is None:
            click.echo("the cache is off")
            return
        click.echo(f"{cache.folder}: removed {cache.clear()} entries")
