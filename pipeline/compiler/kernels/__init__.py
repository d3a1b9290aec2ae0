"""Machine code of kernels: made in processes side by side, each kernel once, and kept on disk."""
