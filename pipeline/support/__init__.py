"""Helpers that several stages use and that depend on none of them."""
