"""Checks that an import computes what its source does."""
