"""Remembers imports: files that were imported before are neither normalised nor run again."""
