"""Building blocks of templates."""
