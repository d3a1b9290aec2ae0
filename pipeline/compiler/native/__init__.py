"""The runtime that is linked into each CPU model, in C++, and the linking."""
