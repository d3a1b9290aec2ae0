"""The search for the fastest config of each task."""
