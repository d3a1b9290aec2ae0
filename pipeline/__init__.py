"""The stages of a model's journey, in reading order.

`types` and `errors` (the nouns, the exception family), `importers` (any source into a verified ONNX model),
`graph` (optimisation passes), `tasks` (what there is to tune), `tuning` (search and measurement), `records` (the
store of results), `lower` with `onnx_layer` and `check_layers` (the graph as TVM's module), `build` (fusion, code),
`program`, `joins` and `arena` (the calls, the memory they share), `native` (the runtime that is linked into a model),
`compile` and `artifact` (building, saving, loading), `executor` (what runs a model: `native`, or `runtime`, TVM's),
`finals` (the fastest configs, timed inside the model) and `session` (a whole model tuned).

What a compiled model does: `steps` (which layers each kernel call stands for), `observe` (its time, what it makes),
`verify` with `points`, `difference` and `verification` (against its source, layer by layer).

What is known of a model before it runs: `inspect` with `costs` (operations, parameters, bytes of each layer),
`footprint` (memory), `coverage` with `remedies` (what is not covered, and what to do); and of the machine: `roofline`
with `roofline_worker` (its peak and bandwidth, measured once).

What several stages use: `reference` (what every kernel should compute), `journal`, `files` and `arrays` (files whole
or not at all), `child` (programs in processes of their own), `interrupts` (Ctrl-C), `silence` (libraries that print).
"""
