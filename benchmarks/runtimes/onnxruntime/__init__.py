"""ONNX Runtime, in FP32 and in INT8."""
