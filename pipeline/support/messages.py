"""Shortens other programs' error messages to fit into one line of ours."""

from __future__ import annotations


def one_line(error: BaseException, limit: int = 300) -> str:
    """The message of `error` without line breaks, and cut where it is longer than `limit` characters."""
    return cut(joined(error), limit)


def joined(error: BaseException) -> str:
    """The message of `error` without line breaks; its kind when it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def cut(text: str, limit: int = 300) -> str:
    """`text`, at most `limit` characters of it."""
    return text if len(text) <= limit else f"{text[:limit]}…"
