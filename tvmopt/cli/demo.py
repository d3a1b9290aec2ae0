"""``tvmopt demo``: the main job on MobileNetV2, from the network to a report."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from tvmopt.cli.options import Duration
from tvmopt.pipeline.errors import UsageError

MODEL = "mobilenet_v2.py:build"
ROUNDS = 12


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tvmopt-demo"),
    show_default=True,
    metavar="DIR",
    help="The folder for records, artifact, measurements and report.",
)
@click.option(
    "--trials", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N", help="Tuning trials."
)
@click.option("--time-limit", type=Duration(), default="4m", show_default=True, help="Tuning time.")
@click.pass_context
def command(context: click.Context, output: Path, trials: int, time_limit: float) -> None:
    """Tune MobileNetV2 for this machine, compile it, check it, and compare it with every runtime installed.

    Takes at most ten minutes on two cores; ends with a table and the report's path.
    """
    from tvmopt.cli import compare, compile, run, tune
    from tvmopt.jobs.reporting import require_page_packages
    from tvmopt.pipeline.support.shipped import shipped

    require_page_packages()
    model = f"{shipped('models') / MODEL}"
    logs, artifact = output / "tuning_logs", output / "mobilenet_v2.tar"
    results, page, notes = (output / f"mobilenet_v2.{suffix}" for suffix in ("json", "html", "md"))
    if not output.parent.is_dir():
        raise UsageError(f"--output needs an existing parent folder; there is no {str(output.parent)!r}")
    output.mkdir(exist_ok=True)

    commands = {"tune": tune.command, "compile": compile.command, "run": run.command, "compare": compare.command}

    def step(number: int, what: str, name: str, *arguments: object) -> None:
        words = [str(word) for word in arguments]
        click.secho(f"\n{number}. {what}", bold=True)
        click.echo(f"   $ tvmopt {shlex.join([name, *words])}")
        with commands[name].make_context(name, words, parent=context) as inner:
            commands[name].invoke(inner)

    limits = ("--trials", trials, "--time-limit", f"{time_limit:.0f}s")
    files = ("--rounds", ROUNDS, "--json", results, "--html", page, "--md", notes)
    step(1, "Tune every kernel for this machine", "tune", model, *limits, "--logs", logs)
    step(2, "Compile, each kernel with its best record", "compile", model, "-o", artifact, "--logs", logs)
    step(3, "Check the artifact against its golden outputs", "run", artifact, "--check", "--repeat", 50)
    step(4, "Compare with every runtime that is installed", "compare", model, "--logs", logs, *files)
    click.echo(f"\nThe report: {page.resolve()}")
