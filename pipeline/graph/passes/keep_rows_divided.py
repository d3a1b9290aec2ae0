"""A matrix product with constant weights reads and makes rows however they are divided into dimensions.

Exporters and the importer flatten the rows before a product and divide them again behind it. Without these reshapes,
the element-wise operators and residual sums behind a product can become its epilogue. Returns a new graph.
"""

from __future__ import annotations

from dataclasses import replace

from tvmopt.pipeline.graph.ir import Graph, Node, without_dead_code


def keep_rows_divided(graph: Graph) -> Graph:
    """Drops reshapes of rows before products, and behind those whose result only the reshape reads."""
    producers, uses = graph.producers(), graph.uses()
    readers = {name: node for node in graph.nodes for name in node.inputs}
    made, gone = set[str](), set[str]()
    nodes = []
    for node in graph.nodes:
        if node.op == "dense" and node.attrs["packed"] and all(name in graph.constants for name in node.inputs[1:]):
            first = _undivided(graph, producers, node.inputs[0], gone)
            after = readers.get(node.output)
            outputs, layers = node.outputs, node.layers
            if after is not None and uses[node.output] == 1 and _divides_rows(graph, after):
                outputs, layers = after.outputs, tuple(dict.fromkeys((*layers, *after.layers)))
                made.add(after.output)
                gone.add(node.output)
            nodes.append(replace(node, inputs=(first, *node.inputs[1:]), outputs=outputs, layers=layers))
        elif node.op != "reshape" or node.output not in made:
            nodes.append(node)
    return without_dead_code(replace(graph, nodes=tuple(nodes)))


def _undivided(graph: Graph, producers: dict[str, Node], name: str, gone: set[str]) -> str:
    """The value whose rows `name` divides in another way, and that is not `gone`, or `name` itself."""
    while name in producers and _divides_rows(graph, producers[name]) and producers[name].inputs[0] not in gone:
        name = producers[name].inputs[0]
    return name


def _divides_rows(graph: Graph, node: Node) -> bool:
    """Whether a node is a reshape that leaves the last dimension as it is."""
    if node.op != "reshape":
        return False
    before, after = (graph.tensor(name).shape for name in (node.inputs[0], node.output))
    return len(before) > 1 and len(after) > 1 and before[-1] == after[-1]
