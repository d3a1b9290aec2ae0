"""Where each runtime's time goes, layer by layer: one file a runtime.

In reading order: `turns` (runs with and without a profiler in turn), `covering` (which layers a fused kernel stands
for), `tvmopt`, `onnxruntime`, `openvino`, `pytorch` with `pytorch_ops` and `pytorch_names` (the runtimes) and
`registry` (the list).
A profiler takes a job, loads the model, and gives a `benchmarks.layers.LayerProfile`; it runs in a worker process.
"""
