"""Measures compiled models against their peers, and reports the results."""
