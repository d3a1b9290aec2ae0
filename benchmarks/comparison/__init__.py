"""Compares one model on all runtimes, in turn: participants, cells of batch and threads, outputs."""
