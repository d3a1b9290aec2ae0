"""``python -m tvmopt``: the same as the ``tvmopt`` command."""

import sys

from tvmopt.cli import main

if __name__ == "__main__":
    sys.exit(main())
