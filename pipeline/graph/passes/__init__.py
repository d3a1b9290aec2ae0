"""Graph passes, one per file: each takes a graph and returns a new one."""
