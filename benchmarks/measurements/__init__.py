"""Measurements: types, statistics, verdicts, and their files."""
