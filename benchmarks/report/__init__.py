"""Reports from measurement files, offline: a page that stands alone, and Markdown."""
