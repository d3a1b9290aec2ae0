"""``python -m tvmopt.benchmarks.suite.literature``: measures the networks of the literature."""

from tvmopt.benchmarks.suite.literature.sets import main

if __name__ == "__main__":
    main()
