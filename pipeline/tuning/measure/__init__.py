"""Candidates built, checked and timed in warm worker processes."""
