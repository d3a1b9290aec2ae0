"""``tvmopt cache``: shows or clears what compiling keeps on disk."""

from __future__ import annotations

import click

_MIB = 2**20


@click.group()
def command() -> None:
    """Show or clear the cache of compiled kernels.

    It is in $TVMOPT_CACHE, else in $XDG_CACHE_HOME/tvmopt, else in ~/.cache/tvmopt; TVMOPT_CACHE=off turns it off.
    """


@command.command()
def show() -> None:
    """Print where the cache is, what it holds, and how often it helped."""
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.tables import Column, Table
    from tvmopt.pipeline.support.cache import open_cache

    cache, console = open_cache(), make_console()
    if cache.folder is None:
        console.print("the cache is off")
        return
    facts = cache.facts()
    table = Table(Column("kind"), Column("entries", number=True), Column("MiB", number=True))
    for kind, count in sorted(facts.entries.items()):
        table.add(kind, str(count), f"{facts.nbytes[kind] / _MIB:.1f}")
    console.print(table)
    held, most = sum(facts.nbytes.values()) / _MIB, cache.limit_bytes / _MIB
    asked = facts.hits + facts.misses
    console.print(f"{cache.folder}: {sum(facts.entries.values())} entries, {held:.1f} of at most {most:.0f} MiB")
    console.print(f"found {facts.hits} of {asked} entries that were asked for")


@command.command()
def clear() -> None:
    """Remove all entries."""
    from tvmopt.pipeline.support.cache import open_cache

    cache = open_cache()
    click.echo("the cache is off" if cache.folder is None else f"{cache.folder}: removed {cache.clear()} entries")
