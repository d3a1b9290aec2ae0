"""What was measured: types, statistics, verdicts, and the files that hold them."""
