"""tvmopt itself, with and without records."""
