"""The project's performance targets; ``python -m tvmopt.benchmarks.suite`` measures them."""
