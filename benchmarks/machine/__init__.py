"""The machine that is measured on: its environment, its roofline, what else is running on it."""
