"""Compares a compiled model with its source, layer by layer."""
