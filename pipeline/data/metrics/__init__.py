"""Metrics of accuracy: top-1 and top-5, mean average precision, mean IoU, or a user's function; with intervals."""
