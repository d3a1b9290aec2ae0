"""What trials measured, and which config that speaks for."""
