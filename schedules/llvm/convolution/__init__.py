"""Convolutions: direct ones over images and volumes, transposed ones, and Winograd's algorithm."""
