"""Machines that run programs of ours: what they are, what can be started on them, how one talks to it."""
