"""A process for each runtime, and the files that it reads."""
