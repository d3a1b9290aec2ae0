"""Quantises a trained network to integers of 8 bits with NNCF, and says what that costs."""
