"""Accuracy of a model on a labelled set, in every runtime, on the same prepared samples."""
