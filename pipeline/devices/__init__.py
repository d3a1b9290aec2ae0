"""Machines that run our programs: their facts, the programs, and the channel to a running program."""
