"""Checks an import against a program that reads the same files independently: its framework, or another reader."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tvmopt.pipeline.devices.environments.run_script import Call, run_script
from tvmopt.pipeline.errors import WrongResultError
from tvmopt.pipeline.importers.check.normalized import agrees, with_outputs
from tvmopt.pipeline.importers.check.suitable_inputs import find_inputs
from tvmopt.pipeline.importers.onnx_form.layer_names import layer_of
from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
from tvmopt.pipeline.support.npz import load_arrays, save_arrays
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.onnxruntime import run_model
from tvmopt.pipeline.support.tolerances import REWRITTEN

Arrays = Mapping[str, np.ndarray]

Compute = Callable[[Arrays, Sequence[str]], Arrays]
"""Takes the inputs and names of values; returns those of the values that it knows."""


def check_independently(model: onnx.ModelProto, compute: Compute, names: Collection[str], reader: str) -> None:
    """Checks that `model` computes what `reader` does.

    Args:
        model: the ONNX form, with static inputs.
        compute: runs the reader.
        names: the values to compare; those that `model` does not have are left out.
        reader: its name, for the error.

    Raises:
        WrongResultError: a value differs; names the first layer that does.
        UnsupportedModelError: onnxruntime cannot run the model.
    """
    made = {name for node in model.graph.node for name in node.output if name}
    wanted = sorted(made.intersection(names))
    inputs = find_inputs(model, [tensor_spec(value) for value in model.graph.input], model.graph).inputs
    reference = compute(inputs, wanted)
    computed = run_model(with_outputs(model, wanted), inputs, wanted)
    for name, value in reference.items():
        if not agrees(value, computed[name]):
            error, allowed = numeric_error(value, computed[name]).relative, REWRITTEN.of(value.dtype)
            raise WrongResultError(
                f"{name!r} of the ONNX form differs from {reader}'s by {error:.2g} of its largest value, from "
                f"layer {_first_wrong(model, compute, inputs) or repr(name)} on; at most {allowed:g} is allowed"
            )


def run_reader(python: str, script: Path, files: Sequence[Path], inputs: Arrays, wanted: Any) -> Arrays:
    """Runs a reader in a process of its own, with bounded memory.

    Args:
        python: the Python that has the reader.
        script: takes the user's files, an ``.npz`` of inputs, JSON, and the ``.npz`` to write.
        files: the user's files.
        inputs: by name.
        wanted: what to compute, for the JSON.

    Returns:
        The arrays that the script wrote.

    Raises:
        ScriptError: it failed.
    """
    with tempfile.TemporaryDirectory(prefix="tvmopt-reader-") as folder:
        taken, given = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        save_arrays(taken, inputs)
        arguments = (*(file.absolute() for file in files), taken, json.dumps(wanted), given)
        run_script(python, Call(script, [str(one) for one in arguments], Path(folder)))
        return load_arrays(given)


def _first_wrong(model: onnx.ModelProto, compute: Compute, inputs: Arrays) -> str:
    """The layer of the first value that both compute but differently."""
    made = [(name, node) for node in model.graph.node for name in node.output if name]
    reference = compute(inputs, [name for name, _ in made])
    computed = run_model(with_outputs(model, list(reference)), inputs, list(reference))
    wrong = (node for name, node in made if name in reference and not agrees(reference[name], computed[name]))
    return next((repr(layer_of(node)) for node in wrong), "")
