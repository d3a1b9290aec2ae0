"""A model's weights: left out of its copies, and parked in files."""
