"""Optimising the graph: `ir` is what passes work on, `optimize` the ordered list of passes, one pass a file.

Every pass takes a graph and returns a new one; none changes the graph it was given.
"""
