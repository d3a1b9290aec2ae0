"""Templates for CPUs; `fallback` takes what no other does."""
