"""Results whose size is found at run time, in tensors of the largest size with their number of elements beside them."""
