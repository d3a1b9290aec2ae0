"""A process for each runtime, and what is laid out for it."""
