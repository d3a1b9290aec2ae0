"""The artifact that is shipped: its format, and what loads and runs it."""
