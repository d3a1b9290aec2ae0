"""A reshape of a reshape is one reshape. Returns a new graph."""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.ir import Editor, Graph, Node, rewrite


def merge_reshapes(graph: Graph) -> Graph:
    """Makes every reshape read the value before any other reshape; reshapes that are no longer read are removed."""
    sources: dict[str, str] = {}

    def rule(editor: Editor, node: Node) -> bool:
        if node.op != "reshape":
            return False
        source = sources.get(node.inputs[0], node.inputs[0])
        sources[node.output] = source
        same = editor.values.get(source) == editor.values[node.output]
        if same and node.output not in graph.outputs:
            editor.rename(node.output, source)
        else:
            editor.add(replace(node, inputs=(source,)))
        return True

    return rewrite(graph, rule)
