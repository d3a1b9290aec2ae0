"""tvmopt itself, with records and without."""
