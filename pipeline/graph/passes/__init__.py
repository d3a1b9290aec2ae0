"""Graph passes, one a file: each takes a graph and returns a new one."""
