"""``tvmopt verify``: checks a compiled model against onnxruntime and its framework, layer by layer."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tvmopt.cli.options import (
    OutputFile,
    input_options,
    logs_option,
    model_argument,
    precision_option,
    strict_nan_option,
    target_option,
    threads_option,
)
from tvmopt.pipeline.errors import UsageError, WrongResultError
from tvmopt.pipeline.support.tolerances import BEHIND_INTEGERS, COMPILED


class Tolerance(click.ParamType[float]):
    """A relative error above zero."""

    name = "X"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the number."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0.0 < number < math.inf:
            self.fail(f"expected a relative error above zero, such as 1e-3; got {value!r}")
        return number


@click.command()
@model_argument
@click.argument("artifact", type=click.Path(path_type=Path), required=False, help="The artifact compiled from it.")
@click.option(
    "--tolerance",
    type=Tolerance(),
    help=(
        f"Relative error allowed.  [default: {COMPILED.float32:g}; {COMPILED.float16:g} for float16; "
        f"{BEHIND_INTEGERS:g} behind integers of 8 bits; other integers and booleans must be equal]"
    ),
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Seed of random inputs."
)
@target_option
@threads_option
@strict_nan_option
@precision_option
@logs_option
@input_options
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="First dimension of every input.")
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write every error of every layer.")
@click.pass_context
def command(
    context: click.Context, /, model: str, artifact: Path | None, json_file: Path | None, **settings: Any
) -> None:
    """Check layer by layer that ARTIFACT computes what MODEL does; without ARTIFACT, compile MODEL and check that.

    Every kernel's result that also exists in the ONNX model is compared with onnxruntime, with optimisation off, and
    with MODEL's original framework, if known. The relative error is the largest difference over the largest magnitude
    of the reference; the cosine is that of the angle between result and reference. Errors propagate to later layers, so
    the command reports the first layer out of tolerance, and ends with exit code 6. "Alone" is the relative error of a
    layer on the inputs that it actually received: it separates the layers at fault from those after them, and a tenth
    of the tolerance is allowed for it. Where a model rounds to integers of 8 bits, a value beside the border between
    two steps goes either way, and later layers make more of it: there, a layer alone may be two steps of 128 off.
    """
    _refuse_what_clashes(context, artifact)
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.progress_line import StatusLine
    from tvmopt.cli.run import with_inputs
    from tvmopt.cli.views.verify import finding, parts
    from tvmopt.jobs.verifying import VerifyJob, verify

    inputs = settings["inputs"]
    job = VerifyJob(model, artifact, **with_inputs(settings))
    console = make_console()
    with StatusLine(console) as status:
        result = verify(job, status)
    for part in parts(result.verification):
        console.print(part)
    if json_file is not None:
        origin = {"inputs": str(inputs or f"random, seed {job.seed}"), "tolerance": job.tolerance}
        write_json(json_file, {"manifest": result.manifest, **origin, **result.verification.to_json()})
        console.print(f"wrote {json_file}")
    if result.verification.first_wrong is not None:
        raise WrongResultError(finding(result.verification))


def _refuse_what_clashes(context: click.Context, artifact: Path | None) -> None:
    """Rejects options that would have no effect in combination with others."""

    def given(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    how = [name for name in ("target", "logs", "strict_nan") if given(name)]
    if artifact is not None and how:
        name = f"--{how[0].replace('_', '-')}"
        raise UsageError(f"{name} says how to compile, but {artifact} is already compiled: give one of them")
    if given("seed") and given("inputs"):
        raise UsageError("--seed makes random inputs, --inputs reads them from a file: give one of them")


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Writes `document`, whole or not at all."""
    from tvmopt.pipeline.support.files import replaced

    with replaced(path) as file:
        file.write((json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
