"""Environments of their own, for frameworks and converters that cannot share this project's."""
