"""Profiles a model layer by layer in each runtime."""
