"""The stages of a model's journey, one room each; README.md shows them in order."""
