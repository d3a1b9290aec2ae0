"""Builds ONNX models from scratch, for formats that are translated layer by layer, and functions of our own."""
