"""Whether an import still computes what its source does."""
