"""Machines that build and run kernels."""
