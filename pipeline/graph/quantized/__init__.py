"""Integers in place of floats, where a model says how it is quantised."""
