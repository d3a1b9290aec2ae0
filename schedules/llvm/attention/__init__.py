"""Attention: two matrix products with a softmax between, in one kernel."""
