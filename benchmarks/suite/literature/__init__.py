"""Measures the networks of the literature."""
