"""Compiles an optimised graph into an artifact."""
