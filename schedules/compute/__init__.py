"""What kernels compute: expressions, recurrences, Winograd's transforms, references."""
