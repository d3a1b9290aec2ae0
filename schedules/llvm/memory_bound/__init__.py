"""Kernels bound by memory: pooling, resizing, element-wise, reductions, layouts."""
