"""Random graphs: drawn from a seed, compiled, run, verified, and made small when they fail."""
