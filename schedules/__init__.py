"""Kernels: what a target is, what a kernel computes, and the templates that generate it."""
