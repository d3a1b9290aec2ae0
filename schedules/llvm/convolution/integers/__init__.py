"""Convolutions of quantised maps."""
