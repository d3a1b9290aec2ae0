"""Finds out which kernels a module of TVM calls, and for which layers: for models that its virtual machine runs."""
