"""Kernels whose time goes into memory: pooling, resizing, element-wise, reductions, layouts."""
