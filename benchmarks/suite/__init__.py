"""The figures that this project holds itself to; ``python -m tvmopt.benchmarks.suite`` measures them."""
