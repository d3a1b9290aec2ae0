"""Optimises the graph: `ir` defines what passes work on, `optimize` the order of the passes, `passes` one per file.

Every pass takes a graph and returns a new one; none changes the graph it was given.
"""
