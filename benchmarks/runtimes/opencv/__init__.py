"""OpenCV's module for networks."""
