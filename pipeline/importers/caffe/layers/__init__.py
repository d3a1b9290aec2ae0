"""Caffe's layers in ONNX, by family."""
