"""Dense layers and matrix products, of floats and of integers."""
