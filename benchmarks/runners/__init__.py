"""The runtimes that are compared, one file each.

In reading order: `base` (what a runner is), `pytorch`, `pytorch_compile`, `onnxruntime`, `openvino`,
`ncnn`, `mnn`, `litert` with `litert_convert`, `onnxruntime_int8`, `openvino_int8` (the peers), `tvmopt_untuned`,
`tvmopt` (ours) and `registry` (the list).
"""
