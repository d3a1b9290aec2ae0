"""Tables that fit the terminal: less important columns give way, and no cell is truncated.

In a narrow terminal, in this order: long details move below their row, text wraps, and less important columns are left
out, which a last line says. Numbers and names are never shortened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions
    from rich.text import Text

GAP = 2
"""Spaces between two columns."""

LEAST = 4
"""Minimum width of a column, however narrow the terminal is."""

_BREAKS = "/._-"
"""Characters after which a long name may wrap, if its line is at least half full by then."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and how it gives way.

    Attributes:
        name: its head, which may wrap between words.
        number: whether it has numbers, which are right-aligned.
        least: the smallest width that its text may be wrapped to; 0 for text that never wraps.
        rank: 0 if it always stays; all columns of the highest rank are left out first, together.
        below: whether it moves below its row when it does not fit.
    """

    name: str
    number: bool = False
    least: int = 0
    rank: int = 0
    below: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """Widths of the columns shown side by side, the columns below their rows, and those left out; by number."""

    widths: dict[int, int]
    below: tuple[int, ...]
    left_out: tuple[int, ...]


class Table:
    """Rows of text that rich prints as wide as its console allows.

    Args:
        columns: from left to right.
        indent: spaces before each line.
    """

    def __init__(self, *columns: Column, indent: int = 0) -> None:
        self.columns = columns
        self.indent = indent
        self.rows: list[tuple[tuple[str, ...], str]] = []

    def add(self, *cells: str, style: str = "") -> None:
        """Adds a row: a text for each column, with control characters blanked, and a rich style."""
        assert len(cells) == len(self.columns)
        self.rows.append((tuple(map(printable, cells)), style))

    def lines(self, width: int) -> Iterator[tuple[str, str]]:
        """Each line with its style, at most `width` columns wide if possible."""
        plan = self._plan(width - self.indent)
        yield from ((line, "bold") for line in self._row([column.name for column in self.columns], plan, head=True))
        for cells, style in self.rows:
            yield from ((line, style) for line in self._row(cells, plan))
            for number in plan.below:
                if cells[number]:
                    text = f"{self.columns[number].name}: {cells[number]}"
                    yield from ((line, style) for line in self._indented(text, width, self.indent + 2 * GAP))
        if plan.left_out:
            names = ", ".join(self.columns[number].name for number in plan.left_out)
            text = f"(left out here: {names}; a wider terminal shows all, and so does a pipe)"
            yield from ((line, "dim") for line in self._indented(text, width, self.indent))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        from rich.text import Text

        for line, style in self.lines(options.max_width):
            yield Text(line, style=style, no_wrap=True, overflow="ignore")

    def _plan(self, room: int) -> _Plan:
        numbers = range(len(self.columns))
        natural = {number: max(self._widths(number)) for number in numbers}
        if _total(natural) <= room:
            return _Plan(natural, (), ())
        below = tuple(number for number in numbers if self.columns[number].below)
        side = [number for number in numbers if number not in below]
        narrow = {number: self._narrowest(number) for number in side}
        left_out: list[int] = []
        while _total(narrow) > room:
            worst = max(self.columns[number].rank for number in narrow)
            if not worst:
                break
            left_out += [number for number in narrow if self.columns[number].rank == worst]
            narrow = {number: width for number, width in narrow.items() if number not in left_out}
        widths = self._widened(narrow, natural, room) if _total(narrow) <= room else _squeezed(narrow, room)
        used = {number: self._used(number, width) for number, width in widths.items()}
        return _Plan(used, below, tuple(sorted(left_out)))

    def _widened(self, narrow: dict[int, int], natural: dict[int, int], room: int) -> dict[int, int]:
        """Distributes the remaining room: first to the narrowest text columns that need more, then to heads."""
        widths = dict(narrow)
        for _ in range(room - _total(narrow)):
            wanting = [number for number, width in widths.items() if width < natural[number]]
            if not wanting:
                break
            widths[min(wanting, key=lambda number: (not self.columns[number].least, widths[number]))] += 1
        return widths

    def _used(self, number: int, width: int) -> int:
        """The part of a column's width that its lines need once wrapped."""
        from rich.cells import cell_len

        texts = (self.columns[number].name, *(cells[number] for cells, _ in self.rows))
        return max(cell_len(line) for text in texts for line in broken(text, width))

    def _widths(self, number: int) -> Iterator[int]:
        """Widths of a column's head and of all lines of its cells, unwrapped."""
        from rich.cells import cell_len

        yield cell_len(self.columns[number].name)
        yield from (cell_len(line) for cells, _ in self.rows for line in cells[number].split("\n"))

    def _narrowest(self, number: int) -> int:
        from rich.cells import cell_len

        column = self.columns[number]
        head = max(map(cell_len, column.name.split()), default=0)
        cells = max(list(self._widths(number))[1:], default=0)
        return max(head, min(cells, column.least) if column.least else cells)

    def _row(self, cells: Sequence[str], plan: _Plan, head: bool = False) -> Iterator[str]:
        """The lines of a row; heads are aligned at the bottom."""
        from rich.cells import cell_len

        blocks = {number: broken(cells[number], width) for number, width in plan.widths.items()}
        height = max(map(len, blocks.values()), default=0)
        for index in range(height):
            parts = []
            for number, block in blocks.items():
                place = index - (height - len(block)) if head else index
                text = block[place] if 0 <= place < len(block) else ""
                fill = " " * (plan.widths[number] - cell_len(text))
                parts.append(fill + text if self.columns[number].number else text + fill)
            yield (" " * self.indent + (" " * GAP).join(parts)).rstrip()

    def _indented(self, text: str, width: int, indent: int) -> Iterator[str]:
        return (" " * indent + line for line in broken(text, max(LEAST, width - indent)))


def broken(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` columns: wrapped between words, and within a word that is too long."""
    from rich.cells import cell_len

    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in paragraph.split(" "):
            joined = f"{line} {word}" if line else word
            if cell_len(joined) <= width:
                line = joined
                continue
            if line:
                lines.append(line)
            *full, line = _chopped(word, width)
            lines += full
        lines.append(line)
    return lines


def printable(text: str) -> str:
    """`text` with control characters blanked: names may come from untrusted files."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)


def _chopped(word: str, width: int) -> list[str]:
    """A word in pieces that fit, broken after punctuation if that leaves the piece at least half full."""
    from rich.cells import cell_len, chop_cells

    pieces = []
    while cell_len(word) > width:
        piece = chop_cells(word, width)[0] or word[0]
        after = max(map(piece.rfind, _BREAKS)) + 1
        piece = piece[:after] if 2 * after >= len(piece) else piece
        pieces.append(piece)
        word = word[len(piece) :]
    return [*pieces, word]


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + GAP * max(0, len(widths) - 1)


def _squeezed(narrow: dict[int, int], room: int) -> dict[int, int]:
    """Narrows the widest columns until the remaining ones fit."""
    widths = dict(narrow)
    while _total(widths) > room and max(widths.values()) > LEAST:
        widths[max(widths, key=lambda number: widths[number])] -= 1
    return widths
