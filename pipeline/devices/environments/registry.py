"""All environments that tvmopt makes. Another one needs an entry here and a file of pins in ``requirements/``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tvmopt.pipeline.errors import UsageError, did_you_mean

REQUIREMENTS = Path(__file__).with_name("requirements")
"""The folder of the files with pins."""

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment for one framework or converter.

    Attributes:
        name: its name on the command line; its pins are in ``requirements/<name>.txt``.
        about: what it is for, one sentence.
        packages: the distributions that it is made for, as tables name them; each is pinned.
        modules: the modules of `packages` that our scripts import. Where all of them are in this project's own
            environment, that serves.
        pythons: the first and last release of Python that the pins install on.
        download_mb: about how much is downloaded.
        alone: those of the pinned packages that are installed without what they ask for, because it is there by
            another name.
    """

    name: str
    about: str
    packages: tuple[str, ...]
    modules: tuple[str, ...]
    pythons: tuple[tuple[int, int], tuple[int, int]]
    download_mb: int
    alone: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable with the path of a Python to use instead."""
        return f"TVMOPT_{self.name.upper()}_PYTHON"

    @property
    def requirements(self) -> Path:
        """The file with the versions of packages, those that others need included."""
        return REQUIREMENTS / f"{self.name}.txt"

    @property
    def install(self) -> str:
        """The command that makes it."""
        return f"tvmopt runtimes --install {self.name}"

    def pins(self) -> dict[str, str]:
        """The version of every pinned package, by name."""
        return dict(_PIN.findall(self.requirements.read_text(encoding="utf-8")))


ENVIRONMENTS: tuple[Environment, ...] = (
    Environment(
        name="tensorflow",
        about="Imports TensorFlow, Keras and TFLite models, and checks them against their frameworks.",
        packages=("tensorflow-cpu", "tf2onnx", "tf-keras", "ai-edge-litert"),
        modules=("tensorflow", "tf2onnx"),
        pythons=((3, 11), (3, 13)),
        download_mb=330,
        alone=("tf-keras",),
    ),
    Environment(
        name="mxnet",
        about="Runs MXNet networks in MXNet: to check imports, and to compare with it.",
        packages=("mxnet",),
        modules=("mxnet",),
        pythons=((3, 11), (3, 11)),
        download_mb=70,
        alone=("mxnet",),
    ),
    Environment(
        name="litert",
        about="Converts PyTorch models for LiteRT.",
        packages=("litert-torch",),
        modules=("litert_torch",),
        pythons=((3, 11), (3, 13)),
        download_mb=1100,
    ),
    Environment(
        name="executorch",
        about="Lowers PyTorch models for ExecuTorch, and runs them there: to compare with it.",
        packages=("executorch",),
        modules=("executorch",),
        pythons=((3, 11), (3, 13)),
        download_mb=420,
    ),
)
"""In the order of tables."""


def find_environment(name: str) -> Environment:
    """The environment called `name`.

    Raises:
        UsageError: there is none; suggests the nearest names.
    """
    for environment in ENVIRONMENTS:
        if environment.name == name:
            return environment
    raise UsageError(did_you_mean("environment", name, (environment.name for environment in ENVIRONMENTS)))
