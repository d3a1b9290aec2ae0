"""How near our kernels come to the peak: their classes and limits, the measurement, the tables."""
