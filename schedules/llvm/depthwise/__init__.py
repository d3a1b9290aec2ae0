"""Depthwise convolutions: over images, lines and volumes, transposed, and together with the 1×1 after them."""
