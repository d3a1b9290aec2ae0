"""Selecting and sorting elements along an axis."""
