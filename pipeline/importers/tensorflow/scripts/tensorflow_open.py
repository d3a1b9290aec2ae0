"""Opens each form of model that TensorFlow runs, as a function of tensors; code that a file may hold does not run."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_keras import load_keras
from tensorflow_safety import check_operators, disarm
from tensorflow_to_onnx import UNREADABLE, UNSUPPORTED
from tensorflow_values import RefusedError, listed

_NOT_OUTPUTS = ("Assert", "Const", "Placeholder", "PlaceholderWithDefault", "NoOp")
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable")


@dataclass(frozen=True)
class Opened:
    """A model that was read.

    Attributes:
        call: runs it on its inputs, in order; returns its outputs, in order.
        inputs: name, shape and element type of each.
        outputs: their names.
        framework: what runs it, with its version.
        kept: what must live as long as `call` is used.
    """

    call: Callable[..., list[Any]]
    inputs: list[tuple[str, Any, Any]]
    outputs: list[str]
    framework: str
    kept: Any = None


def open_saved_model(path: str) -> Opened:
    """A SavedModel: its signature ``serving_default``, or the only one."""
    from tensorflow.core.protobuf import saved_model_pb2

    stored = saved_model_pb2.SavedModel.FromString(Path(path, "saved_model.pb").read_bytes())
    if not stored.meta_graphs:
        raise RefusedError(UNREADABLE, "the SavedModel holds no graph: it is damaged, or saved_model.pb is another's")
    for graph in stored.meta_graphs:
        check_operators(graph.graph_def, saves=True)
        disarm(graph.graph_def)
    loaded = tf.saved_model.load(_beside(path, stored))
    names = [name for name in loaded.signatures if not name.startswith("__")]
    chosen = "serving_default" if "serving_default" in names else names[0] if len(names) == 1 else None
    if chosen is None:
        raise RefusedError(UNSUPPORTED, f"the SavedModel has {listed(names)}: save it with one, called serving_default")
    signature = loaded.signatures[chosen]
    specs = list(signature.structured_input_signature[1].values())
    inner = {spec.name: key for key, spec in signature.structured_input_signature[1].items()}
    keys = {spec.name: inner.get(spec.name, spec.name) for spec in specs}
    outputs = sorted(signature.structured_outputs)

    def call(*tensors: Any) -> list[Any]:
        result = signature(**{keys[spec.name]: tensor for spec, tensor in zip(specs, tensors, strict=True)})
        return [result[name] for name in outputs]

    inputs = [(keys[spec.name], spec.shape, spec.dtype) for spec in specs]
    return Opened(call, inputs, outputs, _TENSORFLOW, loaded)


def _beside(path: str, stored: Any) -> str:
    """A new folder with `stored` and the other parts of the SavedModel at `path`, in the folder of this call."""
    folder = Path(tempfile.mkdtemp(prefix="saved_model-", dir=".")).absolute()  # a model may be opened again
    (folder / "saved_model.pb").write_bytes(stored.SerializeToString())
    for part in ("variables", "assets"):
        if Path(path, part).is_dir():
            (folder / part).symlink_to(Path(path, part).absolute())
    return str(folder)


def open_keras(path: str) -> Opened:
    """A Keras model, of Keras 3 or, where that refuses an old H5 file, of Keras 2."""
    model, framework = load_keras(path)
    if not getattr(model, "inputs", None):
        raise RefusedError(UNSUPPORTED, "the Keras model has no inputs of its own: call it once before saving it")
    specs = [(tensor.name.split(":")[0], tensor.shape, tensor.dtype) for tensor in model.inputs]
    names = list(getattr(model, "output_names", None) or [tensor.name for tensor in model.outputs])

    def call(*tensors: Any) -> list[Any]:
        try:
            given = tf.nest.pack_sequence_as(model.input, list(tensors))
        except AttributeError:  # a Sequential model that was loaded has no structure of inputs: there is one
            (given,) = tensors
        return list(tf.nest.flatten(model(given, training=False)))

    return Opened(call, specs, [name.split("/")[0] for name in names], framework, model)


def open_graph(path: str) -> Opened:
    """A frozen graph: its placeholders are the inputs, the values that no node reads are the outputs."""
    graph_def = tf.compat.v1.GraphDef.FromString(Path(path).read_bytes())
    if not graph_def.node:
        raise RefusedError(UNREADABLE, "the file holds no graph: it is no frozen graph, or damaged")
    check_operators(graph_def)
    loose = [node.name for node in graph_def.node if node.op in _VARIABLES]
    if loose:
        what = f"the graph is not frozen: {listed(loose)} are variables"
        raise RefusedError(UNSUPPORTED, f"{what}; freeze it, or save a SavedModel")
    read = {name.lstrip("^").split(":")[0] for node in graph_def.node for name in node.input}
    inputs = [node for node in graph_def.node if node.op == "Placeholder"]
    outputs = [node.name for node in graph_def.node if node.name not in read and node.op not in _NOT_OUTPUTS]
    if not inputs or not outputs:
        what = f"the graph has {len(inputs)} placeholders and {len(outputs)} values that nothing reads"
        raise RefusedError(UNSUPPORTED, f"{what}: they are its inputs and outputs")

    def imported() -> None:
        tf.graph_util.import_graph_def(graph_def, name="")

    wrapped = tf.compat.v1.wrap_function(imported, [])
    element = wrapped.graph.as_graph_element
    fetches = [tensor for name in outputs for tensor in element(name).outputs[:1]]
    feeds = [element(f"{node.name}:0") for node in inputs]
    specs = [(feed.name.split(":")[0], feed.shape, feed.dtype) for feed in feeds]
    pruned = wrapped.prune(feeds, fetches)

    def call(*tensors: Any) -> list[Any]:
        return list(tf.nest.flatten(pruned(*tensors)))

    return Opened(call, specs, [tensor.name.split(":")[0] for tensor in fetches], _TENSORFLOW, wrapped)


warnings.filterwarnings("ignore")
_TENSORFLOW = f"TensorFlow {tf.__version__}"
OPEN: dict[str, Callable[[str], Opened]] = {
    "saved_model": open_saved_model,
    "graph": open_graph,
    "keras": open_keras,
}
"""By form."""
