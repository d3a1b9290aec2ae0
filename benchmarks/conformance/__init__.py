"""ONNX's own tests of its operators, run through tvmopt and ONNX Runtime."""
