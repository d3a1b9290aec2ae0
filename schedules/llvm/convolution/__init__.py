"""Convolutions: direct, Winograd's, depthwise, and depthwise with 1×1 in one kernel."""
