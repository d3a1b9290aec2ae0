"""The meaning of kernels, apart from how they are scheduled."""
