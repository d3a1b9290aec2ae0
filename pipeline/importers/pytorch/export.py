"""Translates PyTorch models to ONNX: a factory's module, or an exported program."""

from __future__ import annotations

import importlib.util
import inspect
import os
from pickle import UnpicklingError
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tvmopt.pipeline.data.user_code import describe
from tvmopt.pipeline.errors import InputFileError, NoModelError, RuntimeMissingError, UnsupportedModelError
from tvmopt.pipeline.importers.base import OnnxForm
from tvmopt.pipeline.importers.onnx_form.shapes import ShapeRequest
from tvmopt.pipeline.importers.onnx_form.tensors import MAX_BYTES
from tvmopt.pipeline.importers.pytorch.fixed_values import Values, fix_inputs, with_values
from tvmopt.pipeline.importers.pytorch.keep_tensors import keep_tensors
from tvmopt.pipeline.importers.pytorch.layer_names import as_array, friendly_names, output_names
from tvmopt.pipeline.importers.pytorch.pt2_archive import check_archive
from tvmopt.pipeline.importers.pytorch.python_file import call_factory
from tvmopt.pipeline.importers.pytorch.quiet import export_failures, missing_operators, quiet
from tvmopt.pipeline.support.messages import one_line
from tvmopt.pipeline.types import ModelSource

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

_NO_VALUES: Values = MappingProxyType({})

_EXPECTED = "(nn.Module, example inputs as a tuple of tensors)"


def require_torch() -> None:
    """Checks that PyTorch and what its ONNX exporter needs are installed.

    Raises:
        RuntimeMissingError: one of them is missing; says how to install it.
    """
    missing = [name for name in ("torch", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeMissingError(f"PyTorch models need {' and '.join(missing)}: pip install 'tvmopt[torch]'")


def load_module(source: ModelSource) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Runs the factory that `source` names.

    Returns:
        The module, in eval mode and on the CPU, and its example inputs. It returns no objects that torch cannot trace,
        such as the caches of language models, and takes only inputs that the source leaves open.

    Raises:
        UsageError: the source fixes inputs that the module does not have, or to values that they cannot have.
        InputFileError: the file cannot be run.
        UnsupportedModelError: the factory raises.
        NoModelError: it returns something else.
    """
    require_torch()
    import torch

    result = call_factory(source)
    if not isinstance(result, tuple) or len(result) != 2:
        what = f"a tuple of {len(result)}" if isinstance(result, tuple) else _kind(result)
        raise NoModelError(f"{source.factory}() returned {what}: {_EXPECTED} was expected")
    module, inputs = result
    if isinstance(inputs, torch.Tensor):
        inputs = (inputs,)
    if not isinstance(module, torch.nn.Module):
        raise NoModelError(f"{source.factory}() returned {_kind(module)} as the model: {_EXPECTED} was expected")
    if not isinstance(inputs, tuple | list) or not inputs or not all(isinstance(x, torch.Tensor) for x in inputs):
        kinds = ", ".join(map(_kind, inputs)) if isinstance(inputs, tuple | list) else _kind(inputs)
        raise UnsupportedModelError(
            f"{source.factory}() returned ({kinds}) as example inputs: {_EXPECTED} was expected"
        )
    if isinstance(module, torch.nn.DataParallel):  # on a CPU it does nothing but hide its module's parameters
        module = module.module
    keep_tensors(module)
    module, inputs = module.cpu().eval(), tuple(x.detach().cpu() for x in inputs)
    if source.values:
        inputs = fix_inputs(module, _parameter_names(module, len(inputs)), inputs, source.values)
    return module, inputs


def _kind(value: Any) -> str:
    return type(value).__name__


def export_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    source: ModelSource,
    request: ShapeRequest | None = None,
    run: bool = True,
) -> OnnxForm:
    """Translates `module` to ONNX.

    Args:
        module: in eval mode.
        inputs: its example inputs; their elements are repeated to fill the shapes of `request`.
        source: where it came from, for errors.
        request: shapes by the names of `forward`'s parameters, and batch; by default the example inputs' shapes.
        run: whether the module is run once for its outputs; otherwise it is only traced, and there are none.

    Returns:
        The ONNX form; its program is the exported program that was translated, whose node names are value names in the
        model.

    Raises:
        UnsupportedModelError: the module fails on its inputs, cannot be traced, is too large, or uses a PyTorch
            operator that has no ONNX form.
    """
    import torch

    inputs = _resized(module, inputs, request or ShapeRequest())
    _check_size(sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers())))
    expected = None
    try:
        with torch.no_grad():
            if run:
                expected = module(*(x.clone() for x in inputs))
    except Exception as error:  # the user's code may raise anything
        raise UnsupportedModelError(f"running the model on its inputs raised {describe(error, source.path)}") from error
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(module, tuple(x.clone() for x in inputs), strict=False)
    except Exception as error:  # as above; torch traces the user's code
        raise UnsupportedModelError(
            f"torch.export cannot trace the model{_remedy(error)}: {describe(error, source.path)}"
        ) from error
    return _translate(program, inputs, expected)


def _remedy(error: Exception) -> str:
    """What may help where a value decides what the user's code does next."""
    if "data-dependent" not in str(error):
        return ""
    return " because a value decides what it does (if it is an input, make it a constant with --input-value)"


def load_program(source: ModelSource) -> ExportedProgram:
    """Reads a `.pt2` file without running anything in it.

    Raises:
        InputFileError: not a `.pt2` file, damaged, or with content that is not allowed.
        UnsupportedModelError: it calls functions outside torch's own operators.
    """
    check_archive(source.path)
    require_torch()
    import torch

    before = os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"  # torch.export.load asks for full unpickling in places
    try:
        with quiet():
            program = torch.export.load(source.path)
    except UnpicklingError as error:
        raise InputFileError("the file pickles more than tensors, which can run any code: it is not read") from error
    except Exception as error:  # a damaged file makes torch raise anything
        raise InputFileError(
            f"torch.export.load cannot read the file: {type(error).__name__}: {one_line(error)}"
        ) from error
    finally:
        if before is None:
            del os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"]
        else:
            os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = before
    program._guards_code = []  # source code from the file, which running the program would execute
    return program


def load_program_module(source: ModelSource) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Reads a `.pt2` file as a module, with its example inputs; it takes only inputs that the source leaves open.

    Raises:
        InputFileError, UnsupportedModelError: as `load_program` and `export_program`.
        UsageError: as `load_module`.
    """
    import torch

    program = load_program(source)
    module, inputs = program.module(), _example_inputs(program)
    if not source.values:
        return module, inputs
    outer = torch.nn.Sequential(module)  # the program's own module insists on all of its inputs
    outer.forward = module.__call__  # type: ignore[method-assign]  # it would pass on one argument only
    return outer, fix_inputs(outer, _names(program), inputs, source.values)


def export_program(program: ExportedProgram, run: bool = True, values: Values = _NO_VALUES) -> OnnxForm:
    """Translates an exported program to ONNX; its dynamic sizes stay dynamic.

    Args:
        program: the exported program.
        run: whether it is run once on its example inputs for its outputs; otherwise there are none.
        values: by input, elements that take the place of the example's; in the model it is an input nevertheless.

    Returns:
        As `export_onnx`.

    Raises:
        UsageError: `values` names an input that does not exist, or all of them, or has numbers that do not fit one.
        UnsupportedModelError: it has no example inputs, fails on them, is too large, or uses an operator that has no
            ONNX form.
    """
    import torch
    from torch.utils import _pytree as pytree

    inputs = _example_inputs(program)
    if values:
        inputs = with_values(_names(program), inputs, values)
    args, kwargs = pytree.tree_unflatten(inputs, pytree.tree_structure(program.example_inputs))
    _check_size(sum(tensor.nbytes for tensor in program.state_dict.values()))
    expected = None
    try:
        with quiet(), torch.no_grad():
            if run:
                expected = program.module()(*pytree.tree_map(torch.clone, args), **pytree.tree_map(torch.clone, kwargs))
    except Exception as error:  # a damaged program makes torch raise anything
        what = f"{type(error).__name__}: {one_line(error)}"
        raise UnsupportedModelError(f"running the program on its example inputs raised {what}") from error
    return _translate(program, inputs, expected)


def _example_inputs(program: ExportedProgram) -> tuple[Tensor, ...]:
    """The tensors that a program was exported with, in the order of its inputs.

    Raises:
        UnsupportedModelError: it has none, or others than tensors.
    """
    import torch
    from torch.utils import _pytree as pytree

    if program.example_inputs is None:
        raise UnsupportedModelError("the program has no example inputs: export it again with torch.export.export")
    inputs = pytree.tree_leaves(program.example_inputs)
    if not all(isinstance(x, torch.Tensor) for x in inputs):
        raise UnsupportedModelError(f"the program takes ({', '.join(map(_kind, inputs))}): only tensors are supported")
    return tuple(inputs)


def _names(program: ExportedProgram) -> list[str]:
    """The names of a program's inputs."""
    return [str(name) for name in program.graph_signature.user_inputs]


def _translate(program: ExportedProgram, inputs: tuple[Tensor, ...], expected: Any) -> OnnxForm:
    """The program in ONNX; `expected` is what it returned, None when it was not run."""
    import torch

    results = output_names(_stand_ins(program) if expected is None else expected, program)
    try:
        with quiet(), torch.no_grad():
            translated = torch.onnx.export(
                program, dynamo=True, external_data=False, verbose=False, output_names=list(results)
            )
    except export_failures() as error:
        missing = missing_operators(program)
        if missing:
            raise UnsupportedModelError(f"PyTorch operators without ONNX form: {', '.join(missing)}") from error
        raise UnsupportedModelError(f"the model has no ONNX form: {_root_cause(error)}") from error
    assert translated is not None
    assert translated.exported_program is not None
    model = friendly_names(translated.model_proto, program)
    names = [value.name for value in model.graph.input]
    if len(names) != len(inputs):
        raise UnsupportedModelError(
            f"the model takes {len(inputs)} tensors, but its ONNX form takes {len(names)}: {names}"
        )
    arrays = {name: as_array(name, tensor) for name, tensor in zip(names, inputs, strict=True)}
    outputs = {name: as_array(name, tensor) for name, tensor in results.items()} if expected is not None else {}
    return OnnxForm(model, None, arrays, outputs, translated.exported_program)


def _stand_ins(program: ExportedProgram) -> Any:
    """Tensors without data in place of what the program returns, as tracing left them."""
    from torch.export.graph_signature import OutputKind
    from torch.utils import _pytree as pytree

    (made,) = program.graph.output_node().args
    returned = [
        value.meta["val"] if hasattr(value, "meta") else value
        for value, spec in zip(made, program.graph_signature.output_specs, strict=True)
        if spec.kind == OutputKind.USER_OUTPUT
    ]
    return pytree.tree_unflatten(returned, program.call_spec.out_spec)


def _root_cause(error: BaseException) -> str:
    """The innermost exception of the chain, which gives the actual reason."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {one_line(error)}"


def _check_size(nbytes: int) -> None:
    if nbytes > MAX_BYTES:
        raise UnsupportedModelError(
            f"the weights take {nbytes} bytes, more than the {MAX_BYTES} that an ONNX model can hold"
        )


def _resized(module: nn.Module, inputs: tuple[Tensor, ...], request: ShapeRequest) -> tuple[Tensor, ...]:
    """The example inputs, resized to the shapes of `request`."""
    import torch

    names = _parameter_names(module, len(inputs))
    request.check_names(names)
    sized = []
    first = inputs[0].shape[:1]
    for name, tensor in zip(names, inputs, strict=True):
        shape = list(request.shapes.get(name, tuple(tensor.shape)))
        if request.batch is not None and shape and tensor.shape[:1] == first:
            shape[0] = request.batch
        same = shape == list(tensor.shape)
        array = as_array(name, tensor)
        sized.append(tensor if same else torch.from_numpy(np.resize(array, shape)))
    return tuple(sized)


def _parameter_names(module: nn.Module, count: int) -> list[str]:
    """What torch calls the `count` inputs of `module`: parameters of `forward`; ``inputs_0``, … for ``*inputs``.

    Raises:
        UnsupportedModelError: `forward` takes fewer of them, or needs more.
    """
    signature = inspect.signature(module.forward)
    try:
        bound = signature.bind(*range(count)).arguments
    except TypeError as error:
        raise UnsupportedModelError(f"the example inputs do not fit {_kind(module)}.forward: {error}") from error
    names: list[str] = []
    for name, value in bound.items():
        several = signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL
        names += [f"{name}_{place}" for place in range(len(value))] if several else [name]
    return names
