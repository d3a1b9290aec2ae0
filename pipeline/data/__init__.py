"""Real input: pictures to calibrate and to measure on."""
