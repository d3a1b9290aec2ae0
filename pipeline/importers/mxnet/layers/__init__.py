"""MXNet's operators in ONNX, by family."""
