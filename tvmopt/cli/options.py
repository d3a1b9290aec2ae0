"""Arguments and options shared by several commands, and the types of their values."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tvmopt.pipeline.importers.registry import listed_forms
from tvmopt.pipeline.types import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Mapping


Command = TypeVar("Command", bound=Callable[..., Any])
NamedShape = tuple[str, tuple[int, ...]]
NamedValue = tuple[str, tuple[float, ...]]
Sizes = int | tuple[int, ...]
"""The size of a dimension, or several to choose from."""

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}

_NUMBERS = r"[1-9]\d*(,[1-9]\d*)*"
"""Positive integers with commas between."""

_SIZES = r"([1-9]\d*|\{[1-9]\d*(,[1-9]\d*)*\})"
"""A size, or a set of sizes in braces."""


class Shape(click.ParamType[NamedShape]):
    """``NAME:1,3,224,224`` → ``("NAME", (1, 3, 224, 224))``; the name itself may contain colons (``input:0:1,3``)."""

    name = "NAME:1,3,224,224"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NamedShape:
        """Split `value` at its last colon."""
        if isinstance(value, tuple):
            return value
        name, _, sizes = str(value).rpartition(":")
        if name and "{" in sizes and re.fullmatch(rf"{_SIZES}(,{_SIZES})*", sizes):
            self.fail(f"only `tvmopt compile` and `tvmopt tune` take sets of sizes: give one size; got {value!r}")
        if not name or not re.fullmatch(_NUMBERS, sizes):
            self.fail(f"expected an input's name, a colon and positive sizes, such as x:1,3,224,224; got {value!r}")
        return name, tuple(int(size) for size in sizes.split(","))


class WithSizes(click.Command):
    """A command with sets of sizes, which a shell expands unless they are quoted."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parses; explains words that look like shapes and are not where one belongs."""
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            expanded = [word for word in words[1:] if re.fullmatch(rf"[^/]+:{_NUMBERS}", word)]
            if len(expanded) > 1:
                hint = f"did the shell expand braces into {' '.join(expanded)}? put them in quotes"
                raise click.UsageError(f"{error.message} ({hint})", ctx) from None
            raise


class Shapes(click.ParamType[tuple[str, tuple[Sizes, ...]]]):
    """``NAME:{1,4,8},3,224,224`` → ``("NAME", ((1, 4, 8), 3, 224, 224))``: a set where there are several sizes."""

    name = "NAME:1,3,224,224"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Split `value` at its last colon, its sizes at commas outside of braces."""
        if isinstance(value, tuple):
            return value
        name, _, sizes = str(value).rpartition(":")
        if not name or not re.fullmatch(rf"{_SIZES}(,{_SIZES})*", sizes):
            self.fail(
                "expected an input's name, a colon and positive sizes, such as x:1,3,224,224 or 'x:{1,4},3,224,224'; "
                f"got {value!r}"
            )
        return name, tuple(map(_sizes, re.findall(r"\d+|\{.*?\}", sizes)))


def _sizes(text: str) -> Sizes:
    if not text.startswith("{"):
        return int(text)
    return tuple(dict.fromkeys(int(size) for size in text[1:-1].split(",")))


class Value(click.ParamType[NamedValue]):
    """``NAME=16000`` or ``NAME=1,2.5`` → ``("NAME", (1, 2.5))``; ``true`` and ``false`` are 1 and 0."""

    name = "NAME=16000"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> NamedValue:
        """Split `value` at its last equals sign."""
        if isinstance(value, tuple):
            return value
        name, _, text = str(value).rpartition("=")
        try:
            numbers = tuple(map(_number, text.split(",")))
        except ValueError:
            numbers = ()
        if not name or not numbers:
            self.fail(f"expected an input's name, an equals sign and numbers, such as sr=16000; got {value!r}")
        return name, numbers


def _number(text: str) -> float:
    word = text.strip().lower()
    if word in ("true", "false"):
        return int(word == "true")
    return int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)


class Duration(click.ParamType[float]):
    """``300s``, ``5m`` or ``1.5h`` → seconds."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Multiply the number by its unit."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", str(value))
        seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
        if not 0.0 < seconds < math.inf:
            self.fail(f"expected a number above zero with a unit, such as 300s, 5m or 1h; got {value!r}")
        return seconds


class Integers(click.ParamType[tuple[int, ...]]):
    """``1,4`` → ``(1, 4)``: distinct positive integers in the order given."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Split `value` at its commas."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(_NUMBERS, str(value)):
            self.fail(f"expected positive integers separated by commas, such as 1,4; got {value!r}")
        return tuple(dict.fromkeys(int(item) for item in str(value).split(",")))


class Names(click.ParamType[tuple[str, ...]]):
    """``a,b`` → ``("a", "b")``: distinct names in the order given."""

    name = "A,B,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Split `value` at its commas."""
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(item.strip() for item in str(value).split(",")))
        if not all(names):
            self.fail(f"expected names separated by commas, such as a,b; got {value!r}")
        return names


class StageNames(click.ParamType[tuple[str, tuple[str, ...]]]):
    """``reading=a,b`` → ``("reading", ("a", "b"))``."""

    name = "STAGE=FUNCTION,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[str, ...]]:
        """Split `value` at its sign and its commas."""
        if isinstance(value, tuple):
            return value
        stage, _, rest = str(value).partition("=")
        functions = tuple(name.strip() for name in rest.split(","))
        if not stage.strip() or not all(name.isidentifier() for name in functions):
            self.fail(f"expected a stage and names of functions, such as reading=read_rows,parse; got {value!r}")
        return stage.strip(), functions


class OutputFile(click.ParamType[Path]):
    """A file to write, in an existing writable folder; neither is touched here.

    Args:
        suffixes: endings that the name may have; any if none are given.
    """

    name = "FILE"

    def __init__(self, *suffixes: str) -> None:
        self.suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Check that the file could be written."""
        path = Path(value)
        if self.suffixes and not path.name.endswith(self.suffixes):
            self.fail(f"expected a name that ends with {' or '.join(self.suffixes)}; got {str(path)!r}")
        if path.is_dir():
            self.fail(f"expected a file; {str(path)!r} is a folder")
        if not path.parent.is_dir():
            self.fail(f"expected a file in a folder that exists; there is no folder {str(path.parent)!r}")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            self.fail(f"no permission to write {str(path)!r}")
        return path


def model_argument(command: Command) -> Command:
    """``MODEL`` → `model`, as `pipeline.importers.load_model` takes it."""
    return click.argument("model", metavar="MODEL", help=f"The model: {listed_forms()}.")(command)


def target_option(command: Command) -> Command:
    """``--target`` → `target`, for `resolve_target`."""
    return click.option(
        "--target",
        default="llvm",
        show_default=True,
        metavar="TARGET",
        help="A name that `tvmopt targets` lists, or TVM's target as JSON.",
    )(command)


def threads_option(command: Command) -> Command:
    """``--threads`` → `threads`, None when not given."""
    return click.option(
        "--threads",
        type=click.IntRange(min=1),
        metavar="N",
        help="Threads that each kernel runs on.  [default: the target's cores]",
    )(command)


def precision_option(command: Command) -> Command:
    """``--precision`` → `precision`."""
    return click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        default="auto",
        show_default=True,
        help="Of a quantised model: int8 its integers, fp32 the float network that it describes, auto what MODEL is.",
    )(command)


def data_options(command: Command) -> Command:
    """``--metric``, ``--preprocess`` and ``--samples`` → `metric`, `preprocess`, `samples`; None when not given."""
    command = click.option(
        "--samples", type=click.IntRange(min=1), metavar="N", help="A random choice of N samples.  [default: all]"
    )(command)
    command = click.option(
        "--preprocess",
        metavar="NAME",
        help="How pictures become inputs: imagenet, caffe, 0..1, -1..1, 0..255, or path.py:function.  [default: what "
        "suits the model]",
    )(command)
    return click.option(
        "--metric",
        metavar="NAME",
        help="top1, top5, map, miou, or path.py:function(outputs, labels).  [default: what suits the labels]",
    )(command)


def strict_nan_option(command: Command) -> Command:
    """``--strict-nan`` → `strict_nan`."""
    return click.option(
        "--strict-nan",
        is_flag=True,
        help="Leave out algorithms that spread a NaN or infinity, such as Winograd's.",
    )(command)


def logs_option(command: Command) -> Command:
    """``--logs`` → `logs`, a folder that need not exist yet."""
    return click.option(
        "--logs",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("tuning_logs"),
        show_default=True,
        metavar="DIR",
        help="The folder of tuning records.",
    )(command)


def input_shape_option(command: Command) -> Command:
    """``--input-shape`` → `input_shape`, a mapping of names to shapes; empty when not given."""
    return _input_shape(Shape(), "")(command)


def _input_shape(kind: click.ParamType[Any], more: str) -> Callable[[Command], Command]:
    return click.option(
        "--input-shape",
        type=kind,
        multiple=True,
        callback=_distinct_names,
        help=f"The shape of an input whose sizes the model leaves open; repeat it for each such input{more}.",
    )


def input_options(command: Command) -> Command:
    """``--input-shape``, ``--input-value`` and ``--inputs`` → `input_shape`, `input_value` (mappings), `inputs`."""
    return input_shape_option(_inputs_and_values(command))


def several_sizes(command: Command) -> Command:
    """As `input_options`, but ``--input-shape`` takes sets of sizes."""
    sets = "; sizes in braces and quotes, such as 'x:{1,4},3,224,224', stand for one model in all of them"
    return _input_shape(Shapes(), sets)(_inputs_and_values(command))


def _inputs_and_values(command: Command) -> Command:
    command = click.option(
        "--inputs",
        type=click.Path(path_type=Path),
        metavar="FILE.npz",
        help="Arrays by the inputs' names, for models that do not run on random ones.",
    )(command)
    return click.option(
        "--input-value",
        type=Value(),
        multiple=True,
        callback=_distinct_names,
        help="The value of an input that becomes a constant; repeat it for each such input.",
    )(command)


def _distinct_names(
    ctx: click.Context, param: click.Parameter, value: tuple[tuple[str, tuple[Any, ...]], ...]
) -> Mapping[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for name, numbers in value:
        if name in found:
            raise click.BadParameter(f"input {name!r} is given twice: {found[name]} and {numbers}", ctx, param)
        found[name] = numbers
    return MappingProxyType(found)
