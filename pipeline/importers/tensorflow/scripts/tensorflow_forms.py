"""Reads each form of model, converts it with tf2onnx, and runs it in its framework."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from tensorflow_keras import load_keras
from tensorflow_safety import check_operators, disarm
from tensorflow_to_onnx import OPSET, UNREADABLE, UNSUPPORTED
from tensorflow_values import Converted, RefusedError, check_converted, given_arrays, random_array, rename, sizes
from tflite_to_onnx import from_tflite

_NOT_OUTPUTS = ("Assert", "Const", "Placeholder", "PlaceholderWithDefault", "NoOp")
_VARIABLES = ("Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable")

_MOST_BYTES = 1 << 28
"""Larger values inside of a model are not kept."""

Asked = Mapping[str, Any]


def from_saved_model(path: str, asked: Asked) -> Converted:
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
        raise RefusedError(
            UNSUPPORTED, f"the SavedModel has {_listed(names)}: save it with one, called serving_default"
        )
    signature = loaded.signatures[chosen]
    specs = list(signature.structured_input_signature[1].values())
    inner = {spec.name: key for key, spec in signature.structured_input_signature[1].items()}
    keys = {spec.name: inner.get(spec.name, spec.name) for spec in specs}
    outputs = sorted(signature.structured_outputs)

    def call(*tensors: Any) -> list[Any]:
        result = signature(**{keys[spec.name]: tensor for spec, tensor in zip(specs, tensors, strict=True)})
        return [result[name] for name in outputs]

    return _from_function(call, [(keys[s.name], s.shape, s.dtype) for s in specs], outputs, asked)


def _beside(path: str, stored: Any) -> str:
    """A folder with `stored` and the other parts of the SavedModel at `path`, in the folder of this call."""
    folder = Path("saved_model").absolute()
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(stored.SerializeToString())
    for part in ("variables", "assets"):
        if Path(path, part).is_dir():
            (folder / part).symlink_to(Path(path, part).absolute())
    return str(folder)


def from_keras(path: str, asked: Asked) -> Converted:
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

    return _from_function(call, specs, [name.split("/")[0] for name in names], asked, framework)


def from_graph(path: str, asked: Asked) -> Converted:
    """A frozen graph: its placeholders are the inputs, the values that no node reads are the outputs."""
    graph_def = tf.compat.v1.GraphDef.FromString(Path(path).read_bytes())
    if not graph_def.node:
        raise RefusedError(UNREADABLE, "the file holds no graph: it is no frozen graph, or damaged")
    check_operators(graph_def)
    loose = [node.name for node in graph_def.node if node.op in _VARIABLES]
    if loose:
        what = f"the graph is not frozen: {_listed(loose)} are variables"
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

    return _from_function(call, specs, [tensor.name.split(":")[0] for tensor in fetches], asked)


def _from_function(
    call: Callable[..., list[Any]],
    specs: list[tuple[str, Any, Any]],
    outputs: list[str],
    asked: Asked,
    framework: str = "",
) -> Converted:
    """Converts a function of tensors, and runs it."""
    framework = framework or f"TensorFlow {tf.__version__}"
    signature = [tf.TensorSpec(shape, dtype, name=f"input_{place}") for place, (_, shape, dtype) in enumerate(specs)]
    text = [name for name, _, dtype in specs if tf.as_dtype(dtype) in (tf.string, tf.resource, tf.variant)]
    if text:
        what = f"the inputs {_listed(text)} hold no numbers"
        raise RefusedError(UNSUPPORTED, f"{what}: only numbers and booleans are supported")
    function = tf.function(call, input_signature=signature)
    try:
        model, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    except Exception as error:
        raise RefusedError(UNSUPPORTED, f"tf2onnx cannot convert it: {type(error).__name__}: {error}") from error
    check_converted(model)
    _fix_captured(model, function.get_concrete_function())
    found = [value.name for value in model.graph.input]
    if len(found) != len(specs) or len(model.graph.output) != len(outputs):
        raise RefusedError(UNSUPPORTED, "tf2onnx dropped an input or output that nothing depends on")
    order = sorted(range(len(found)), key=lambda place: int(found[place].split(":")[0].rpartition("_")[2]))
    names = {found[place]: specs[number][0] for number, place in enumerate(order)}
    names |= {value.name: name for value, name in zip(model.graph.output, outputs, strict=True)}
    rename(model, names)
    converted = Converted(model, framework)
    shapes = [sizes(name, _known_sizes(shape), asked) for name, shape, _ in specs]
    if not asked["run"] or None in shapes:
        return converted
    random = np.random.default_rng(0)
    dtypes = [tf.as_dtype(dtype).as_numpy_dtype for _, _, dtype in specs]
    arrays = [random_array(shape, dtype, random) for shape, dtype in zip(shapes, dtypes, strict=True)]
    given = given_arrays(asked)
    if given:
        arrays = [given[model.graph.input[place].name] for place in order]
    try:
        results = [np.asarray(tensor) for tensor in function(*map(tf.constant, arrays))]
    except Exception as error:
        converted.unrun = f"{type(error).__name__}: {error}"
        return converted
    converted.values = _values(model, function.get_concrete_function(), arrays)
    graph = model.graph
    converted.inputs = {graph.input[place].name: array for place, array in zip(order, arrays, strict=True)}
    converted.outputs = {value.name: array for value, array in zip(graph.output, results, strict=True)}
    return converted


def _fix_captured(model: Any, function: Any) -> None:
    """Makes constants of the inputs that stand for tensors which the function took along."""
    captured = function.captured_inputs
    names = [tensor.name for tensor in function.inputs[len(function.inputs) - len(captured) :]]
    values = dict(zip(names, captured, strict=True))
    read = {name for node in model.graph.node for name in node.input}
    for value in [value for value in model.graph.input if value.name in values]:
        model.graph.input.remove(value)
        if value.name in read:
            model.graph.initializer.append(onnx.numpy_helper.from_array(values[value.name].numpy(), value.name))


def _values(model: Any, function: Any, arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What TensorFlow computes for the values of the ONNX model that its own graph has, too; none if they are large."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    try:
        frozen = convert_variables_to_constants_v2(function, lower_control_flow=False, aggressive_inlining=True)
        there = {tensor.name: tensor for op in frozen.graph.get_operations() for tensor in op.outputs}
        wanted = {name: there[name] for node in model.graph.node for name in node.output if name in there}
        results = frozen.prune(list(frozen.inputs), list(wanted.values()))(*map(tf.constant, arrays))
    except Exception:  # it only helps to find the layer of an error
        return {}
    values = {name: np.asarray(array) for name, array in zip(wanted, tf.nest.flatten(results), strict=True)}
    return values if sum(array.nbytes for array in values.values()) <= _MOST_BYTES else {}


def _known_sizes(shape: Any) -> list[int | None] | None:
    known = tf.TensorShape(shape)
    return None if known.rank is None else known.as_list()


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(map(repr, names[:5])) or "none") + more


warnings.filterwarnings("ignore")
FORMS: dict[str, Callable[[str, Asked], Converted]] = {
    "saved_model": from_saved_model,
    "graph": from_graph,
    "keras": from_keras,
    "tflite": from_tflite,
}
