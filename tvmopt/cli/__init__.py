"""The command line: a group of commands, each imported on demand, and the one place that reports errors."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tvmopt import __version__
from tvmopt.cli.streams import discard_output, output_is_closed, take_over, why_full
from tvmopt.pipeline.errors import EXIT_CODES, CancelledError, TvmoptError, UsageError, did_you_mean

COMMANDS: dict[str, str] = {
    "inspect": "Show what each layer of a model costs and how it would be compiled.",
    "convert": "Write a model of any format as ONNX.",
    "quantize": "Turn a model into integers of 8 bits, within an accuracy that you set.",
    "tune": "Search for the fastest kernels of a model, and record them.",
    "compile": "Build a model into an artifact that runs on the target.",
    "run": "Run an artifact on arrays from a file, or check it.",
    "profile": "Time a model layer by layer, here and in other runtimes.",
    "verify": "Check layer by layer that a compiled model computes what it should.",
    "compare": "Measure a model on every runtime, in one fair run.",
    "evaluate": "Judge the accuracy of a model on a labelled set, in every runtime.",
    "report": "Turn measurement files into a page or Markdown.",
    "logs": "Show, merge, prune and explain tuning records.",
    "cache": "Show or clear the cache of compiled kernels.",
    "runtimes": "List the runtimes to compare with, and get those that need an environment.",
    "targets": "List the targets, or the facts of one.",
    "demo": "Tune, compile and compare MobileNetV2, in ten minutes.",
}
"""Every command with its line in ``tvmopt --help``; ``tvmopt/cli/<name>.py`` defines it as ``command``."""


class LazyGroup(click.Group):
    """A group that imports a command on demand, so that ``--help`` loads none.

    Args:
        summaries: each command's name and its line in the help.
        package: the package that has one module per command.
        attributes: passed to `click.Group`.
    """

    def __init__(self, summaries: Mapping[str, str], package: str, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._summaries = summaries
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of a model's journey."""
        return list(self._summaries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command `cmd_name`; None if it does not exist."""
        if cmd_name not in self._summaries:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` begin with.

        Raises:
            UsageError: when it does not exist; suggests the nearest names.
        """
        if args[0] not in self._summaries and not ctx.resilient_parsing:
            raise UsageError(did_you_mean("command", args[0], self._summaries))
        return super().resolve_command(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the forms of MODEL from the registry of importers, before the options and commands."""
        from tvmopt.pipeline.importers.registry import IMPORTERS

        with formatter.section("MODEL is one of"):
            formatter.write_dl([(importer.form, importer.about) for importer in IMPORTERS])
        super().format_options(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' table from the summaries, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries.items()))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each exit code means."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])


_GROUP_HELP = """Tune, compile and compare trained networks with Apache TVM.

Begin with `tvmopt demo`; `tvmopt COMMAND --help` describes each command.
"""

tvmopt = LazyGroup(
    COMMANDS,
    "tvmopt.cli",
    name="tvmopt",
    help=_GROUP_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, prog_name="tvmopt")(tvmopt)


def main(arguments: Sequence[str] | None = None, group: click.Group = tvmopt) -> int:
    """Run one command of `group` and return the process's exit code, a key of `EXIT_CODES`.

    An error that the user can fix becomes one line on stderr; a bug keeps its traceback.

    Args:
        arguments: the words after the program's name; those of this process by default.
        group: the commands.
    """
    name = group.name or "tvmopt"
    if f"_{name.upper()}_COMPLETE" in os.environ:
        group.main(prog_name=name)  # a shell asks for completions; click prints them and exits
    try:
        if arguments is None:
            take_over()
        _invoke(group, name, list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except (KeyboardInterrupt, click.Abort, CancelledError):
        # Python remembers a Ctrl-C in text that `exec` ran (as dataclasses do) until the next `exec`; for it,
        # ``python -m`` would end with a signal, whatever the exit code.
        exec("")  # noqa: S102
        click.echo(f"\n{name}: {EXIT_CODES[CancelledError.exit_code]}", err=True)
        return CancelledError.exit_code
    except TvmoptError as error:
        return _fail(name, str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()  # the help itself
        return error.exit_code
    except click.ClickException as error:
        message = error.format_message().removesuffix(".")
        context = error.ctx if isinstance(error, click.UsageError) else None
        return _fail(name, f"{message} (see {context.command_path} --help)" if context else message, error.exit_code)
    except OSError as error:
        return _output_failed(name, error)
    return 0


def _invoke(group: click.Group, name: str, arguments: list[str]) -> None:
    with group.make_context(name, arguments) as context:
        group.invoke(context)


def _fail(name: str, message: str, exit_code: int) -> int:
    click.echo(f"{name}: error: {' '.join(message.splitlines())}", err=True)
    return exit_code


def _output_failed(name: str, error: OSError) -> int:
    """The exit code of a command whose output takes no more; raises `error` again if it has another cause, a bug."""
    reason = "" if isinstance(error, BrokenPipeError) else why_full(error)
    if not reason and not (isinstance(error, BrokenPipeError) and output_is_closed()):
        raise error
    discard_output()
    return _fail(name, reason, 1) if reason else 1
