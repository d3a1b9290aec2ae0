"""The stages of a model's journey, in reading order.

`types` and `errors` (the nouns, the exception family), `importers` (any source into a verified ONNX model),
`graph` (optimisation passes), `tasks` (what there is to tune), `tuning` (search and measurement), `records` (the
store of results), `lower` with `onnx_layer` and `check_layers` (the graph as TVM's module), `build` (fusion, memory,
code), `compile` and `artifact` (building, saving, loading).
"""
