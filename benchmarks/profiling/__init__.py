"""Where a model's time goes, layer by layer, in each runtime."""
