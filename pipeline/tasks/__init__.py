"""What there is to tune, and which config each kernel is built with."""
