"""Checks a `.pt2` file before torch reads it.

`torch.export.load` trusts its file: it unpickles, evaluates expressions and guards, and looks functions up by name.
Everything that it would use in these ways is checked here, against lists of what exported networks need; all else is
refused.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tvmopt.pipeline.errors import InputFileError, UnsupportedModelError
from tvmopt.pipeline.importers.onnx_form.tensors import MAX_BYTES
from tvmopt.pipeline.support.messages import one_line

_PARTS = re.compile(
    r"(\.data/(version|serialization_id|\.?[a-z_]+)|archive_format|archive_version|byteorder|version"
    r"|models/model\.json"
    r"|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt"
    r"|extra/.*)"
)
"""The parts that an archive of one network has: no compiled code, no pickled objects."""

_FUNCTIONS = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.(cond|scan|while_loop|wrap_with_autocast|wrap_with_set_grad_enabled)"
    r"|torch\.(sym_\w+|_sym_\w+|_check\w*)"
    r"|_operator\.(abs|add|and_|eq|floordiv|ge|getitem|gt|index|le|lt|mod|mul|ne|neg|not_|or_|pos|pow|sub|truediv)"
    r"|math\.[a-z]\w*"
)
"""The functions that a network may call."""

_FORBIDDEN = "torch.ops.aten.from_file"
"""A function that it may not call although it is among these: it opens any file."""

_TREE_TYPES = (None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
"""The containers in which inputs and outputs may come."""

_SYMBOL = re.compile(r"Symbol\('[a-z]{1,4}\d+'(, [a-z]+=True)*\)")
"""The symbol of a size, as sympy writes it."""

_NUMBER = re.compile(r"[a-z]{0,4}\d+(\.\d+)?")
"""A number, or a size's symbol by its bare name."""

_EXPRESSION = re.compile(r"[A-Za-z0-9_ +\-*/(),.<>=&|~%]*")
_EXPRESSION_FUNCTION = re.compile(
    r"Abs|Add|And|Ceil(Div|ToInt)|CleanDiv|Eq|Equality|False|Float(Pow|TrueDiv)|Floor(Div|ToInt)|G[et]|Greater(Than)?"
    r"|Integer|IntTrueDiv|[LR]Shift|L[et]|LessThan|Max|Min|Mod|ModularIndexing|Mul|Ne|Not|Or|Piecewise|Pow|PowByNatural"
    r"|PythonMod|Rational|Round(Decimal|ToInt)|Strict(Greater|Less)Than|ToFloat|True|TruncTo(Float|Int)|Unequality|Where"
    r"|ceiling|floor"
)
"""The functions that the expression of a size may use."""


def check_archive(path: Path) -> None:
    """Checks that the file at `path` is an exported network that can be read without running anything in it.

    Raises:
        InputFileError: not an archive, cut short, too large, or with content that no network needs.
        UnsupportedModelError: a network that calls functions outside torch's own operators.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
            if size > MAX_BYTES:
                raise InputFileError(
                    f"the archive unpacks to {size} bytes, more than the {MAX_BYTES} that ONNX can hold"
                )
            parts = _parts(archive.namelist())
            for config in ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json"):
                _check_payloads(json.loads(archive.read(parts[config])))
            _check_network(json.loads(archive.read(parts["models/model.json"])))
    except KeyError as error:
        raise InputFileError(f"the archive lacks {error}: it was not written by torch.export.save") from error
    except (zipfile.BadZipFile, ValueError, TypeError, AttributeError, LookupError, EOFError, RecursionError) as error:
        raise InputFileError(f"not a .pt2 archive, or damaged: {one_line(error)}") from error
    except OSError as error:
        raise InputFileError(f"the file cannot be read: {error.strerror}") from error


def _parts(names: list[str]) -> dict[str, str]:
    """The full names of the archive's parts, by their names without the archive's top folder."""
    if len({name.lower() for name in names}) < len(names):
        raise InputFileError("the archive has two parts with the same name: which of them would be read is undefined")
    if len({name.partition("/")[0] for name in names}) > 1:
        raise InputFileError("the archive has more than one top folder: it was not written by torch.export.save")
    parts = {name.partition("/")[2]: name for name in names}
    for inner, name in parts.items():
        if not _PARTS.fullmatch(inner):
            raise InputFileError(f"the archive holds {name!r}, which no exported network needs: it is not read")
    return parts


def _check_payloads(config: Any) -> None:
    """Weights must be plain bytes: no pickles."""
    for name, payload in config["config"].items():
        if payload["use_pickle"] is not False:
            raise InputFileError(f"weight {name!r} is pickled, which can run any code: only plain tensors are read")
    _check_network(config)


def _check_network(network: Any) -> None:
    for key, value in _entries(network):
        if key == "target" and not _is_safe_function(value):
            raise UnsupportedModelError(f"the network calls {value!r}: only torch's own operators are supported")
        if key == "expr_str" and not _is_safe_expression(value):
            raise InputFileError(f"the size {value!r} is not a plain expression: it is not evaluated")
        if key in ("in_spec", "out_spec", "treespec") and isinstance(value, str):
            _check_tree(json.loads(value))


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _entries(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _entries(inner)


def _is_safe_function(target: Any) -> bool:
    return isinstance(target, str) and bool(_FUNCTIONS.fullmatch(target)) and not target.startswith(_FORBIDDEN)


def _is_safe_expression(text: Any) -> bool:
    """Whether `text` has only numbers, sizes' symbols and known functions: no attributes, strings or other names."""
    if not isinstance(text, str):
        return False
    text = _SYMBOL.sub("1", text)
    if not _EXPRESSION.fullmatch(text):
        return False
    words = re.findall(r"[A-Za-z0-9_.]+", text)
    return all(_NUMBER.fullmatch(word) or _EXPRESSION_FUNCTION.fullmatch(word) for word in words)


def _check_tree(tree: Any) -> None:
    """Containers of inputs and outputs must be plain: others name modules to import."""
    if isinstance(tree, list):
        _check_tree(tree[1])
        return
    context = tree["context"]
    if tree["type"] not in _TREE_TYPES or "__" in str(context):
        raise InputFileError(
            f"inputs or outputs come in a {tree['type']}: only tuples, lists and dictionaries are supported"
        )
    for child in tree["children_spec"]:
        _check_tree(child)
