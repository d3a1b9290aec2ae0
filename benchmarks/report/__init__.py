"""Reports from measurement files, offline: a self-contained page, and Markdown."""
