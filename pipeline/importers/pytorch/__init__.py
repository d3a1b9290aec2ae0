"""PyTorch: factories in Python files, and ``.pt2`` archives."""
