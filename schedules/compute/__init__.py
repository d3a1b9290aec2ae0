"""The meaning of what kernels compute: expressions, recurrences, Winograd's transforms, references."""
