"""Attention: how it is found in a graph, and how it becomes one kernel."""
