"""Facts about a model before it runs: costs, memory, coverage."""
