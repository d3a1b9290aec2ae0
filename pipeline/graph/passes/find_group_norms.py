"""Finds group normalisation that is written as normalisation of reshaped maps. Returns a new graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tvmopt.pipeline.graph.ir import Array, Editor, Graph, Node, rewrite
from tvmopt.pipeline.graph.recognize.norms import add_map_norm
from tvmopt.schedules.expression import ACC


def find_group_norms(graph: Graph) -> Graph:
    """Reshape to ``(images, groups, …)``, normalisation of each group, reshape back: one ``map_norm`` with groups.

    Exporters write it so, for ONNX had no group normalisation before operator set 18. The maps need not leave their
    layout then. A scale or bias between the reshapes repeats for each channel of a group.
    """
    producers, uses = graph.producers(), graph.uses()

    def rule(editor: Editor, node: Node) -> bool:
        norm = producers.get(node.inputs[0]) if node.op == "reshape" else None
        if norm is None or norm.op not in ("row_norm", "map_norm") or uses[norm.output] != 1:
            return False
        before = producers.get(norm.inputs[0])
        if before is None or before.op != "reshape":
            return False
        data, grouped = graph.tensor(before.inputs[0]), graph.tensor(norm.inputs[0])
        groups = _groups(norm, grouped.shape)
        if groups is None or len(data.shape) < 3 or grouped.shape[0] != data.shape[0] or data.shape[1] % groups:
            return False
        if graph.tensor(node.output).shape[:2] != data.shape[:2]:
            return False
        factors = [graph.constants.get(name) for name in norm.inputs[1:]]
        wide = [_for_channels(array, data.shape[1]) for array in factors if array is not None and array.size == groups]
        if len(wide) < len(factors):
            return False
        attrs = {name: norm.attrs[name] for name in ("kind", "epsilon")} | {"groups": groups}
        layers = tuple(dict.fromkeys((*before.layers, *norm.layers, *node.layers)))
        stem = [editor.constant(f"{name}_channels", array) for name, array in zip(norm.inputs[1:], wide, strict=True)]
        made = replace(
            norm, op="map_norm", inputs=(before.inputs[0], *stem), outputs=node.outputs, layers=layers, attrs=attrs
        )
        add_map_norm(editor, made, ())
        return True

    return rewrite(graph, rule)


def _groups(norm: Node, shape: tuple[int, ...]) -> int | None:
    """How many groups of a reshaped image are normalised; None if it is something else that is normalised."""
    if norm.op == "map_norm":
        return shape[1] if norm.attrs["groups"] == shape[1] else None
    return shape[1] if norm.attrs["axis"] == 2 and norm.epilogue == ACC else None


def _for_channels(array: Array, channels: int) -> Array:
    return np.repeat(array.reshape(-1), channels // array.size).reshape(1, -1, 1, 1)
