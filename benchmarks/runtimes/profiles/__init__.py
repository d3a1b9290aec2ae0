"""What profilers share: layers that kernels cover, and turns with and without a profiler."""
