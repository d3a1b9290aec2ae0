"""Tables as text: Markdown for an issue or a wiki, columns for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def escape(text: object) -> str:
    """`text` on one line, with Markdown and HTML markup escaped."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", line)


def markdown_table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, with escaped cells."""
    rows = [heads, ["---"] * len(heads), *lines]
    cells = [[item if item == "---" else escape(item) for item in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def plain_table(heads: Sequence[str], lines: Iterable[Sequence[str]], words: Sequence[str] = ()) -> str:
    """A table in space-separated columns, without control characters: names may come from untrusted files.

    Args:
        heads: heads of the columns.
        lines: the rows, each with an item per column.
        words: heads of the left-aligned columns; the others are right-aligned.
    """
    rows = [[_printable(item) for item in row] for row in (heads, *lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    places = [f"{'<' if head in words else '>'}{width}" for head, width in zip(heads, widths, strict=True)]
    return "\n".join("  ".join(map(format, row, places)).rstrip() for row in rows)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)
