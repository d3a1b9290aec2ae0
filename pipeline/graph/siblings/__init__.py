"""Recurrences with the same weights as one batch, and what follows all of them alike."""
