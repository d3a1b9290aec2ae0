"""Recurrences, all time steps in one kernel."""
