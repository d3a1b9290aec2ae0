"""Models of one layer, for layers that no template takes: making, lowering and checking them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy.typing as npt
import onnx
from onnx import numpy_helper

from tvmopt.pipeline.compiler import build
from tvmopt.pipeline.compiler.kernels.compiled import compiled
from tvmopt.pipeline.compiler.kernels.kernel_object import KernelObject
from tvmopt.pipeline.compiler.kernels.layer_inputs import inputs_of
from tvmopt.pipeline.compiler.kernels.layer_part import LayerPart
from tvmopt.pipeline.compiler.native.link import needs_tvm
from tvmopt.pipeline.compiler.program import program_of
from tvmopt.pipeline.compiler.tvm_layer import node_model, passed_constants
from tvmopt.pipeline.errors import BuildError, TvmoptError, UnsupportedModelError, WrongResultError
from tvmopt.pipeline.graph.ir import ONNX, Graph, Node
from tvmopt.pipeline.importers.onnx_form.values import tensor_spec
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.support.numeric_error import numeric_error
from tvmopt.pipeline.support.tolerances import KERNEL
from tvmopt.schedules.target import Target
from tvmopt.schedules.workload import Tensor

Array = npt.NDArray[Any]

Run = Callable[[Sequence[Array]], list[Array]]
"""Takes a layer's inputs and returns its outputs."""

_KEY = 12


def layer_model(graph: Graph, node: Node) -> onnx.ModelProto:
    """A layer for TVM's importer: `node_model`, with its `passed_constants` as inputs.

    Names do not depend on the model that the layer is in, so that equal layers are equal.
    """
    model = node_model(graph, node, passed_constants(graph, node))
    (proto,) = model.graph.node
    names: dict[str, str] = {"": ""}
    for name in (*proto.input, *proto.output):
        names.setdefault(name, f"v{len(names)}")
    for field in (proto.input, proto.output):
        renamed = [names[name] for name in field]
        del field[:]
        field.extend(renamed)
    for value in itertools.chain(model.graph.input, model.graph.output, model.graph.initializer):
        value.name = names[value.name]
    proto.name, proto.doc_string = "layer", ""
    del proto.metadata_props[:]
    return model


def graph_of(model: onnx.ModelProto, layer: str) -> Graph:
    """The graph of a model of one layer; `layer` is the layer's name."""
    (proto,) = model.graph.node
    outputs = tuple(value.name for value in model.graph.output)
    specs = [tensor_spec(value) for value in (*model.graph.input, *model.graph.output)]
    return Graph(
        nodes=(Node(ONNX, tuple(proto.input), outputs, (layer,), proto=proto),),
        values={spec.name: Tensor(spec.shape, spec.dtype) for spec in specs},
        constants={array.name: numpy_helper.to_array(array) for array in model.graph.initializer},
        inputs=tuple(value.name for value in model.graph.input),
        outputs=outputs,
        opset=model.opset_import[0].version,
    )


def lowered(model: onnx.ModelProto, target: Target, layer: str) -> LayerPart:
    """A model of one layer as TVM's importer and its last rule lower it for `target`.

    Raises:
        BuildError: when it cannot be lowered; names the layer.
    """
    module = _scheduled(model, target, layer)
    program = program_of(build.plan_calls(module, target))
    if program is None:
        return LayerPart((), None)
    stem = f"{model.graph.node[0].op_type}_{hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()}"
    stem = stem[: len(model.graph.node[0].op_type) + 1 + _KEY].lower()
    symbols: dict[str, str] = {}
    for call in program.calls:
        symbols.setdefault(call.kernel, f"{stem}_{len(symbols)}")
    kernels: list[KernelObject] = []
    for kernel, symbol in symbols.items():
        kernels.append(compiled(symbol, module[kernel].without_attr("global_symbol"), target))
        if needs_tvm(kernels[-1].content):
            return LayerPart((), None)
    return LayerPart(tuple(kernels), program.renamed(symbols))


def check(model: onnx.ModelProto, target: Target, layer: str) -> bytes:
    """Compares a model of one layer, as TVM's importer lowers it, with onnxruntime on `inputs_of` it.

    Args:
        model: the layer.
        target: this machine.
        layer: its name.

    Returns:
        ``ok``, or ``unchecked`` if onnxruntime refuses all inputs.

    Raises:
        BuildError: the layer cannot be compiled; names it.
        WrongResultError: the layer computes a wrong result; names it.
    """
    from tvmopt.pipeline.support.onnxruntime import run_model

    (proto,) = model.graph.node
    outputs = [value.name for value in model.graph.output]
    run: Run | None = None
    for inputs in inputs_of(model):
        try:
            expected = run_model(model, inputs, outputs)
        except UnsupportedModelError:
            continue
        run = run or _compiled(model, target, layer)
        for number, (name, result) in enumerate(zip(outputs, run(list(inputs.values())), strict=True), start=1):
            where = f"layer {layer!r} ({proto.op_type})"
            if result.dtype != expected[name].dtype:
                raise BuildError(f"{where}: TVM gives output {number} as {result.dtype}, not {expected[name].dtype}")
            error = numeric_error(expected[name], result)
            if not KERNEL.allows(error, result.dtype):
                raise WrongResultError(
                    f"{where}: TVM's importer lowers it to a wrong result: output {number} differs from onnxruntime's "
                    f"by {error.relative:.2g} of its largest value"
                )
    return b"unchecked" if run is None else b"ok"


def _scheduled(model: onnx.ModelProto, target: Target, layer: str) -> Any:
    """The scheduled module of a model of one layer; its results have ONNX's dtypes."""
    from tvmopt.pipeline.compiler.lower import lower_layer

    module = lower_layer(graph_of(model, layer))
    try:
        return build.schedule(module, target)
    except TvmoptError:
        raise
    # Any exception from TVM here means that this layer cannot be compiled.
    except Exception as error:
        raise _not_compiled(model, layer, error) from error


def _not_compiled(model: onnx.ModelProto, layer: str, error: Exception) -> BuildError:
    return BuildError(f"layer {layer!r} ({model.graph.node[0].op_type}) cannot be compiled: {one_line(error)}")


def _compiled(model: onnx.ModelProto, target: Target, layer: str) -> Run:
    """The layer, compiled on its own for this machine."""
    import tvm
    from tvm import relax

    module = _scheduled(model, target, layer)
    try:
        planned = build.plan_memory(module, target)
        machine = relax.VirtualMachine(build.generate(planned, target), tvm.cpu())
        main = machine["main"]
    except Exception as error:
        raise _not_compiled(model, layer, error) from error

    def run(inputs: Sequence[Array]) -> list[Array]:
        try:
            result = main(*(tvm.runtime.tensor(array) for array in inputs))
        except Exception as error:
            raise _not_compiled(model, layer, error) from error
        results = [result] if len(model.graph.output) == 1 else list(result)
        return [array.numpy() for array in results]

    return run
