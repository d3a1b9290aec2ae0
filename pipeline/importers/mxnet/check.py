"""Checks the import of an MXNet network against MXNet, in an environment of its own, where that is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tvmopt.pipeline.devices.environments.places import find_python
from tvmopt.pipeline.devices.environments.registry import find_environment
from tvmopt.pipeline.devices.environments.run_script import ScriptError
from tvmopt.pipeline.importers.base import OnnxForm, UncheckedError
from tvmopt.pipeline.importers.check.independent import Arrays, check_independently, run_reader


def check_against_mxnet(form: OnnxForm) -> str:
    """Checks that the ONNX form computes what MXNet makes of the same files.

    Args:
        form: the import; its program is the pair of its files.

    Returns:
        What it was checked against: MXNet. Empty where it is not installed.

    Raises:
        WrongResultError: an output differs; names the first layer that does.
        UncheckedError: MXNet does not run the network.
    """
    python = find_python(find_environment("mxnet"))
    if python is None:
        return ""
    outputs, script = [output.name for output in form.model.graph.output], Path(__file__).with_name("run_mxnet.py")

    def compute(inputs: Arrays, names: Sequence[str]) -> Arrays:
        return run_reader(python, script, form.program, inputs, list(names))

    try:
        check_independently(form.model, compute, outputs, "MXNet")
    except ScriptError as error:
        raise UncheckedError(f"MXNet does not run it: {error}") from error
    return "MXNet"
