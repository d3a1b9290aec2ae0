"""MXNet networks, read from their files without MXNet."""
