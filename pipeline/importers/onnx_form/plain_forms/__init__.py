"""Operators that runtimes added to ONNX, and quantised ones, written with plain operators of ONNX."""
