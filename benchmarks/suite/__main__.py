"""``python -m tvmopt.benchmarks.suite``: runs the networks' suite."""

from tvmopt.benchmarks.suite.networks import main

if __name__ == "__main__":
    main()
