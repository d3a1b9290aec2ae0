"""Records of what trials measured, and the configs that they favour."""
