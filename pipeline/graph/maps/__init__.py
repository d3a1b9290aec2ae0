"""Passes that let feature maps stay in blocks of channels."""
