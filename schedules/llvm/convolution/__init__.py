"""Convolutions: direct, Winograd's, depthwise, and two in one."""
