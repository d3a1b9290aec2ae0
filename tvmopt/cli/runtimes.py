"""``tvmopt runtimes``: the runtimes that a model can be compared on, and the environments of those that need one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from tvmopt.cli.consoles import output_width

MOST_COLUMNS = 100
"""Longer lines of prose are hard to read."""


@click.command()
@click.option("--install", is_flag=True, help="Make the environments NAME under the user's cache.")
@click.option("--remove", is_flag=True, help="Remove the environments NAME.")
@click.argument("names", nargs=-1, metavar="[NAME]…", help="Environments, as listed.")
def command(install: bool, remove: bool, names: Sequence[str]) -> None:
    """List the runtimes to compare with: which are installed, their versions, how to get the rest.

    Some frameworks and converters cannot share tvmopt's environment. The second list shows them: `tvmopt runtimes
    --install NAME` makes an environment for one, with pinned packages, which importers and runtimes then find.
    """
    if install and remove:
        raise click.UsageError("give --install or --remove, not both")
    if bool(names) != (install or remove):
        raise click.UsageError("give --install or --remove together with the names of environments")
    if install:
        _install(names)
    elif remove:
        _remove(names)
    else:
        _list()


def _install(names: Sequence[str]) -> None:
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.progress_line import ProgressLine
    from tvmopt.pipeline.devices.environments.install import install
    from tvmopt.pipeline.devices.environments.registry import find_environment

    _check_names(names)
    for environment in [find_environment(name) for name in names]:  # all names are known before any work is done
        with ProgressLine(make_console()) as line:
            python = install(environment, line)
        click.echo(f"{environment.name}: installed in {python.parents[1]}")


def _remove(names: Sequence[str]) -> None:
    from tvmopt.pipeline.devices.environments.install import remove
    from tvmopt.pipeline.devices.environments.registry import find_environment

    _check_names(names)
    for environment in [find_environment(name) for name in names]:  # all names are known before any work is done
        click.echo(f"{environment.name}: {'removed' if remove(environment) else 'was not installed'}")


def _check_names(names: Sequence[str]) -> None:
    """Says how a runtime is installed that needs no environment of its own."""
    from tvmopt.benchmarks.runtimes.registry import RUNTIMES
    from tvmopt.pipeline.devices.environments.registry import ENVIRONMENTS

    known = {environment.name for environment in ENVIRONMENTS}
    for runtime in RUNTIMES:
        if runtime.name in names and runtime.name not in known:
            raise click.UsageError(f"{runtime.name} shares tvmopt's environment: {runtime.install}")


def _list() -> None:
    from tvmopt.benchmarks.runtimes.registry import RUNTIMES
    from tvmopt.pipeline.devices.environments.places import missing
    from tvmopt.pipeline.devices.environments.registry import ENVIRONMENTS

    width = max(map(len, (*(runtime.name for runtime in RUNTIMES), *(own.name for own in ENVIRONMENTS))))
    for runtime in RUNTIMES:
        _row(f"{runtime.name:<{width}}", runtime.missing(), _listed(runtime.versions()), runtime.about)
    click.echo("\nIn environments of their own:\n")
    for environment in ENVIRONMENTS:
        lacks = missing(environment)
        absent = f"{lacks} (about {environment.download_mb} MB)" if lacks else None
        _row(f"{environment.name:<{width}}", absent, "" if lacks else _found(environment.name), environment.about)


def _row(name: str, missing: str | None, present: str, about: str) -> None:
    blanks = " " * (len(name) + 2)
    room = min(MOST_COLUMNS, output_width())
    state = click.wrap_text(missing or present, room, blanks, blanks).removeprefix(blanks)
    click.echo(f"{click.style(name, bold=True)}  {click.style(state, fg='yellow' if missing else 'green')}")
    click.echo(click.wrap_text(about, room, blanks, blanks))


def _found(name: str) -> str:
    """Where the environment is that is used, and the versions in it as far as they are known."""
    import os

    from tvmopt.benchmarks.machine.environment import package_versions
    from tvmopt.pipeline.devices.environments.places import folder_of, is_here
    from tvmopt.pipeline.devices.environments.registry import find_environment

    environment = find_environment(name)
    given = os.environ.get(environment.variable)
    if given:
        return f"{environment.variable}={given}"
    if is_here(environment):
        return f"{_listed(package_versions(environment.packages))}, in tvmopt's own environment"
    pins = environment.pins()
    return f"{_listed({package: pins[package] for package in environment.packages})}, in {folder_of(environment)}"


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
