"""The measuring machine: its environment, its roofline, the load of other programs."""
