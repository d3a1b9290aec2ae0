"""The runtime that is linked into every compiled model: its C++ sources, and what builds and loads them."""
