"""``tvmopt verify``: a compiled model against onnxruntime and its framework, layer by layer."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from tvmopt.cli.options import (
    OutputFile,
    input_shape_option,
    logs_option,
    model_argument,
    resolve_target,
    target_option,
    threads_option,
)
from tvmopt.pipeline.errors import RuntimeMissingError, UsageError, WrongResultError
from tvmopt.pipeline.support.tolerances import COMPILED

if TYPE_CHECKING:
    import numpy as np
    from rich.status import Status

    from tvmopt.pipeline.artifact.loaded import LoadedArtifact
    from tvmopt.pipeline.types import ImportedModel
    from tvmopt.schedules.target import Target


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
@click.argument("artifact", type=click.Path(path_type=Path), required=False, help="What was compiled from it.")
@click.option(
    "--tolerance",
    type=Tolerance(),
    help=(
        f"Relative error allowed.  [default: {COMPILED.float32:g}; {COMPILED.float16:g} for float16; "
        "integers and booleans must be equal]"
    ),
)
@click.option("--inputs", type=click.Path(path_type=Path), metavar="FILE.npz", help="Arrays by the inputs' names.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, metavar="N", help="Of random inputs.")
@target_option
@threads_option
@logs_option
@input_shape_option
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="First dimension of every input.")
@click.option("--json", "json_file", type=OutputFile(".json"), help="Write every error of every layer.")
@click.pass_context
def command(
    context: click.Context, /, model: str, artifact: Path | None, json_file: Path | None, **settings: Any
) -> None:
    """Check layer by layer that ARTIFACT computes what MODEL does; without ARTIFACT, compile MODEL and check that.

    Every kernel's result that the ONNX model has too is compared with onnxruntime, whose optimisation is off, and with
    the framework that MODEL is from, where MODEL tells. The relative error is the largest difference over the largest
    magnitude of the reference, the cosine that of the angle between the two. An error travels on to later layers, so
    the first one that leaves tolerance is the finding, and ends with exit code 6. "Alone" is the relative error of a
    layer for just the inputs that it got: it tells the layers at fault from those behind them, and a tenth of the
    tolerance is allowed for it.
    """
    _refuse_what_clashes(context, artifact)
    from tvmopt.cli.consoles import make_console
    from tvmopt.cli.run import read_arrays
    from tvmopt.cli.verify_view import finding, summary, table
    from tvmopt.pipeline.verification.verify import verify

    inputs, seed, tolerance = settings["inputs"], settings["seed"], settings["tolerance"]
    given = None if inputs is None else read_arrays(inputs)
    console = make_console()
    with console.status("loading") as status:
        if artifact is not None:
            imported, loaded = load(model, artifact, settings, status)
        else:
            imported, loaded = build(model, given, settings, status)
        status.update("verifying")
        result = verify(imported, loaded, example_arrays(imported, seed) if given is None else given, tolerance)
    console.print(table(result))
    for line in summary(result):
        console.print(line)
    if json_file is not None:
        origin = {"inputs": str(inputs or f"random, seed {seed}"), "tolerance": tolerance}
        write_json(json_file, {"manifest": loaded.manifest, **origin, **result.to_json()})
        console.print(f"wrote {json_file}")
    if result.first_wrong is not None:
        raise WrongResultError(finding(result))


def _refuse_what_clashes(context: click.Context, artifact: Path | None) -> None:
    """Refuses options that would have no effect beside others."""

    def given(name: str) -> bool:
        return context.get_parameter_source(name) is ParameterSource.COMMANDLINE

    if artifact is not None and (given("target") or given("logs")):
        name = "--target" if given("target") else "--logs"
        raise UsageError(f"{name} says how to compile, but {artifact} is compiled already: give one of them")
    if given("seed") and given("inputs"):
        raise UsageError("--seed is for random inputs, --inputs for those of a file: give one of them")


def load(
    model: str, artifact: Path, settings: Mapping[str, Any], status: Status
) -> tuple[ImportedModel, LoadedArtifact]:
    """The model, and the artifact that was compiled from it.

    Args:
        model: MODEL.
        artifact: ARTIFACT.
        settings: ``threads``, ``input_shape`` and ``batch``.
        status: is told what is being done.

    Raises:
        InputFileError: one of them cannot be read, or the artifact is of another model.
        RuntimeMissingError: the artifact does not run on this machine.
    """
    from tvmopt.pipeline.artifact.loaded import load_artifact
    from tvmopt.pipeline.compiler.build import threads_environment
    from tvmopt.pipeline.importers import load_model
    from tvmopt.pipeline.verification.verify import check_same_model

    if settings["threads"] is not None:
        threads_environment(settings["threads"])
    loaded = load_artifact(artifact)
    status.update("importing")
    imported = load_model(model, settings["input_shape"], settings["batch"])
    check_same_model(imported, loaded, str(artifact))
    return imported, loaded


def build(
    model: str, given: Mapping[str, np.ndarray] | None, settings: Mapping[str, Any], status: Status
) -> tuple[ImportedModel, LoadedArtifact]:
    """The model, and what it is compiled into for this machine.

    Args:
        model: MODEL.
        given: arrays of --inputs, to be checked before any work is done.
        settings: ``target``, ``threads``, ``logs``, ``input_shape`` and ``batch``.
        status: is told what is being done.

    Raises:
        RuntimeMissingError: the target does not run on this machine, or there is no linker.
        InputFileError: the model or the records cannot be read.
        ModelInputError: names, shapes or dtypes of `given` are not the model's.
        BuildError: a layer cannot be built.
    """
    from dataclasses import asdict

    from tvmopt.cli.stores import open_records
    from tvmopt.pipeline.artifact.loaded import check_inputs, load_artifact
    from tvmopt.pipeline.compiler.build import threads_environment
    from tvmopt.pipeline.compiler.compile import compile_model
    from tvmopt.pipeline.compiler.native.linker import linker_of
    from tvmopt.pipeline.importers import load_model

    wanted = resolve_target(settings["target"], settings["threads"])
    _require_architecture(wanted)
    linker_of(wanted)
    records = open_records(settings["logs"])
    status.update("importing")
    imported = load_model(model, settings["input_shape"], settings["batch"])
    if given is not None:
        check_inputs(given, [asdict(spec) for spec in imported.inputs])
    status.update("compiling")
    threads_environment(wanted.threads)
    with tempfile.TemporaryDirectory(prefix="tvmopt-") as folder:
        path = Path(folder) / f"{imported.name}.tar"
        compile_model(imported, wanted, records, path)
        try:
            return imported, load_artifact(path)
        except RuntimeMissingError as error:
            raise RuntimeMissingError(str(error).replace(str(path), imported.name)) from None


def _require_architecture(target: Target) -> None:
    import platform

    if target.arch != platform.machine():
        raise RuntimeMissingError(
            f"verifying runs the model; target {target.name!r} is {target.arch}, this machine {platform.machine()}: "
            "verify it there, or without --target"
        )


def example_arrays(model: ImportedModel, seed: int) -> dict[str, np.ndarray]:
    """Random inputs of `model`."""
    from tvmopt.pipeline.importers import example_inputs

    return example_inputs(model, seed)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Writes `document`, whole or not at all."""
    from tvmopt.pipeline.support.files import replaced

    with replaced(path) as file:
        file.write((json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
