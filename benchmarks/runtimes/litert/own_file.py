"""Sets LiteRT's interpreter up for the user's own TFLite model, which may be quantised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_PREFIX = "serving_default_"
_INTEGERS = ("int8", "uint8", "int16")


@dataclass(frozen=True, slots=True)
class Bound:
    """An interpreter with its inputs.

    Attributes:
        inputs: the tensors' numbers, by the names of the import.
        outputs: those of outputs, in the order asked for.
        precision: what the model's layers compute in.
        quantized: whether some of them compute in integers.
    """

    inputs: dict[str, int]
    outputs: list[int]
    precision: str
    quantized: bool


def bind_own_file(interpreter: Any, inputs: Mapping[str, np.ndarray], outputs: Sequence[str]) -> Bound:
    """Gives the interpreter the sizes of `inputs`; their values come later.

    Raises:
        ValueError: the model has no input or output by one of the names, or takes other elements.
    """
    taken, given = interpreter.get_input_details(), interpreter.get_output_details()
    names = _names(interpreter, taken, given)
    places = {}
    for details in taken:
        name = _name_in(inputs, names[details["index"]], "input")
        array, places[name] = inputs[name], details["index"]
        if np.dtype(details["dtype"]) != array.dtype:
            raise ValueError(f"the file takes {np.dtype(details['dtype'])} where the import takes {array.dtype}")
        interpreter.resize_tensor_input(details["index"], array.shape)
    interpreter.allocate_tensors()
    found = {name: details["index"] for details in given for name in reversed(names[details["index"]])}
    wanted = [found[_name_in(found, (name,), "output")] for name in outputs]
    kinds = {
        np.dtype(details["dtype"]).name
        for details in interpreter.get_tensor_details()
        if len(details["quantization_parameters"]["scales"])
    }
    integers = sorted(kinds & set(_INTEGERS))
    return Bound(places, wanted, f"the file's own: {', '.join(integers)}" if integers else "fp32", bool(integers))


def _names(interpreter: Any, taken: Sequence[Any], given: Sequence[Any]) -> dict[int, tuple[str, ...]]:
    """By tensor, what the import may call it: by the only signature, without what converters add, or as it is."""
    tensors = (*taken, *given)
    names: dict[int, tuple[str, ...]] = {
        t["index"]: (t["name"].removeprefix(_PREFIX).removesuffix(":0"), t["name"]) for t in tensors
    }
    signatures = interpreter.get_signature_list()
    if len(signatures) == 1:
        runner = interpreter.get_signature_runner(next(iter(signatures)))
        for details in (runner.get_input_details(), runner.get_output_details()):
            for key, tensor in details.items():
                names[tensor["index"]] = (key, *names.get(tensor["index"], (tensor["name"],)))
    return names


def _name_in(known: Mapping[str, Any], names: Sequence[str], what: str) -> str:
    for name in names:
        if name in known:
            return name
    raise ValueError(f"the file and its import differ in the {what} {names[0]}")
