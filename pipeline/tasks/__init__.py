"""The tasks to tune, and the config that each kernel is built with."""
