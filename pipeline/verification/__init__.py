"""A compiled model against its source, layer by layer."""
