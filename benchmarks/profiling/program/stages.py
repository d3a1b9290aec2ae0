"""Which stage of a program a call begins: importing, reading, loading, inferring, or one that the user names.

A call is known by its module and its name. Calls that no rule knows stay with the program's own work, which is
preparing: conversions, normalisation, and what follows the network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

IMPORTING = "importing"
READING = "reading"
LOADING = "loading the model"
PREPARING = "preparing"
INFERRING = "inferring"
STAGES = (IMPORTING, READING, LOADING, PREPARING, INFERRING)
"""In the order of a program."""

_RULES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (IMPORTING, "importlib", ("_find_and_load", "import_module")),
    (IMPORTING, "_frozen_importlib", ("_find_and_load",)),
    (READING, "_io", ("open", "FileIO.", "Buffered", "TextIOWrapper.")),
    (READING, "io", ("open",)),
    (READING, "posix", ("open", "read", "scandir", "listdir")),
    (READING, "csv", ("DictReader.",)),
    (READING, "json", ("load",)),
    (READING, "pickle", ("load",)),
    (READING, "_pickle", ("load", "Unpickler.load")),
    (READING, "sqlite3", ("Cursor.execute", "Cursor.fetch", "Connection.execute")),
    (READING, "wave", ("open", "Wave_read.")),
    (READING, "numpy", ("load", "loadtxt", "genfromtxt", "fromfile", "fromregex", "memmap.__new__")),
    (READING, "pandas", ("read_",)),
    (READING, "pyarrow", ("read_", "Table.read")),
    (READING, "h5py", ("File.__init__", "Dataset.__getitem__")),
    (READING, "cv2", ("imread", "imdecode", "VideoCapture")),
    (READING, "PIL", ("open", "Image.load", "ImageFile.load")),
    (READING, "imageio", ("imread", "mimread", "get_reader")),
    (READING, "skimage.io", ("imread",)),
    (READING, "scipy.io", ("loadmat", "read")),
    (READING, "soundfile", ("read",)),
    (READING, "librosa", ("load",)),
    (READING, "torch.utils.data", ("_BaseDataLoaderIter.__next__",)),
    (READING, "torchvision.io", ("read_", "decode_")),
    (LOADING, "torch.serialization", ("load",)),
    (LOADING, "torch.jit", ("load",)),
    (LOADING, "torch.nn.modules.module", ("Module.load_state_dict",)),
    (LOADING, "torch.export", ("load",)),
    (LOADING, "onnxruntime", ("InferenceSession.__init__",)),
    (LOADING, "openvino", ("Core.read_model", "Core.compile_model", "compile_model")),
    (LOADING, "cv2.dnn", ("readNet",)),
    (LOADING, "ai_edge_litert", ("Interpreter.__init__", "Interpreter.allocate_tensors")),
    (LOADING, "tensorflow", ("Interpreter.__init__", "Interpreter.allocate_tensors", "load", "load_partial")),
    (LOADING, "keras", ("load_model",)),
    (LOADING, "mxnet", ("SymbolBlock.imports", "Block.load_parameters", "load_checkpoint", "Module.bind")),
    (LOADING, "tvmopt", ("load_artifact", "LoadedArtifact.__init__")),
    (LOADING, "joblib", ("load",)),
    (INFERRING, "torch.nn.modules.module", ("Module._wrapped_call_impl", "Module._call_impl", "Module.__call__")),
    (INFERRING, "onnxruntime", ("Session.run",)),
    (INFERRING, "openvino", ("CompiledModel.", "InferRequest.")),
    (INFERRING, "cv2.dnn", ("Net.forward",)),
    (INFERRING, "ai_edge_litert", ("Interpreter.invoke", "SignatureRunner.__call__")),
    (
        INFERRING,
        "tensorflow",
        ("Interpreter.invoke", "SignatureRunner.__call__", "Function.__call__", "Layer.__call__"),
    ),
    (INFERRING, "keras", ("Layer.__call__", "TensorFlowTrainer.predict")),
    (INFERRING, "mxnet", ("Block.__call__", "Executor.forward", "BaseModule.predict", "NDArray.asnumpy")),
    (INFERRING, "ncnn", ("Extractor.extract",)),
    (INFERRING, "MNN", ("Interpreter.runSession", "_Module.forward", "_Module.onForward")),
    (INFERRING, "sklearn", ("predict", "decision_function")),
    (INFERRING, "xgboost", ("Booster.predict", "Booster.inplace_predict", "XGBModel.predict")),
    (INFERRING, "tvmopt", ("LoadedArtifact.run", "LoadedArtifact.run_only")),
)
"""Stage, module or package, and how the qualified names of its calls begin."""

_BY_METHOD = ("sklearn",)
"""Packages whose rules name methods, whatever class they are defined in."""

_TRANSFORMS = ("torchvision.transforms",)
"""Packages whose PyTorch modules prepare data."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What begins which stage.

    Attributes:
        named: the user's own functions by name, each with its stage; they come before what is known of libraries.
        file: the program's file; the user's functions are those in its folder and below.
    """

    named: Mapping[str, str] = field(default_factory=dict)
    file: Path = Path()

    def of_function(self, file: str, module: str, name: str) -> str | None:
        """The stage that a Python function begins; None when it belongs to what runs already.

        Args:
            file: the file of its code.
            module: the module's name.
            name: its qualified name, such as ``Net.forward``.
        """
        named = self.named.get(name.rpartition(".")[2])
        if named is not None and Path(file).is_relative_to(self.file.parent):
            return named
        return of_library(module, name)


def order_stages(seen: Collection[str]) -> list[str]:
    """The stages of `seen`: the known ones in the order of a program, then the user's by name."""
    return [stage for stage in STAGES if stage in seen] + sorted(set(seen) - set(STAGES))


def prepares(kind: type) -> bool:
    """Whether a class of PyTorch modules prepares data rather than infers."""
    return kind.__module__.startswith(_TRANSFORMS)


def identify(function: Any) -> tuple[str, str]:
    """Module and qualified name of a function written in C; either may be empty."""
    name = str(getattr(function, "__qualname__", None) or getattr(function, "__name__", ""))
    module = getattr(function, "__module__", None)
    owner = getattr(function, "__self__", None)
    if owner is not None and not module:
        kind = owner if isinstance(owner, type) else type(owner)
        module = getattr(owner, "__name__", "") if kind.__name__ == "module" else kind.__module__
    return str(module or ""), name


@cache
def of_library(module: str, name: str) -> str | None:
    """The stage that a library's function begins, given its module and its qualified name; None for all others.

    Kept for each: the tracer asks at every call of a function that is written in C.
    """
    for stage, package, starts in _RULES:
        known = name.rpartition(".")[2] if package in _BY_METHOD else name
        if (module == package or module.startswith(f"{package}.")) and known.startswith(starts):
            return stage
    return None
