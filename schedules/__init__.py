"""Kernels: targets, workloads (what a kernel computes), and the templates that generate kernels."""
