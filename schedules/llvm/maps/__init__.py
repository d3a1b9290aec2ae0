"""Kernels that rearrange or normalise feature maps in blocks of channels."""
