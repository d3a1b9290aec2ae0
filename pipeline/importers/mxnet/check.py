"""Checks the import of an MXNet network against MXNet, in an environment of its own, where that is installed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tvmopt.pipeline.environments.places import find_python
from tvmopt.pipeline.environments.registry import find_environment
from tvmopt.pipeline.environments.run_script import Call, ScriptError, run_script
from tvmopt.pipeline.importers.base import OnnxForm
from tvmopt.pipeline.importers.check.independent import Arrays, check_independently
from tvmopt.pipeline.support.npz import load_arrays, save_arrays


def check_against_mxnet(form: OnnxForm) -> str:
    """Checks that the ONNX form computes what MXNet makes of the same files.

    Args:
        form: the import; its program is the pair of its files.

    Returns:
        What it was checked against: MXNet. Empty where it is not installed or cannot run the network.

    Raises:
        WrongResultError: an output differs; names the first layer that does.
    """
    python = find_python(find_environment("mxnet"))
    if python is None:
        return ""
    outputs = [output.name for output in form.model.graph.output]
    try:
        check_independently(
            form.model, lambda inputs, names: _run(python, form.program, inputs, names), outputs, "MXNet"
        )
    except ScriptError:
        return ""
    return "MXNet"


def _run(python: str, files: tuple[Path, Path], inputs: Arrays, names: Sequence[str]) -> Arrays:
    """MXNet's values of those of `names` that it has."""
    with tempfile.TemporaryDirectory(prefix="tvmopt-mxnet-") as folder:
        taken, given = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        save_arrays(taken, inputs)
        arguments = (*(file.absolute() for file in files), taken, json.dumps(list(names)), given)
        script = Path(__file__).with_name("run_mxnet.py")
        run_script(python, Call(script, [str(one) for one in arguments], Path(folder)))
        return load_arrays(given)
