"""Tables as aligned lines, coloured on a terminal and plain anywhere else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from touchline.tracking.narrate import clean

if TYPE_CHECKING:
    from rich.console import Console

STYLES = {
    "running": "cyan",
    "finished": "green",
    "failed": "red",
    "killed": "red",
    "killed-cause-unknown": "red",
    "preempted": "yellow",
    "pruned": "yellow",
    "done": "green",
    "waiting": "yellow",
    "refused": "red",
    "damaged": "red",
}
"""Colour of a cell by its text."""


def fits(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bool:
    """True when no line of the table is longer than the terminal is wide, or where there is no terminal."""
    from rich.cells import cell_len
    from rich.console import Console

    console = Console()
    return not console.is_terminal or all(cell_len(line) <= console.width for line in aligned(columns, rows))


def show(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table, one line a row; a column whose name begins with ">" is aligned to the right."""
    cells = [list(row) for row in rows]
    lines = aligned(columns, cells)
    title(lines[0])
    for row, line in zip(cells, lines[1:], strict=True):
        coloured(line, row)


def title(text: str) -> None:
    """Print a line in bold where there is a terminal."""
    _console().print(clean(text), style="bold", soft_wrap=True)


def coloured(line: str, words: Iterable[str] = (), style: str = "") -> None:
    """Print a line as it is, the words of it that have a colour in theirs."""
    from rich.text import Text

    text = Text(line, style=style)
    for word in words:
        if (colour := STYLES.get(word)) and (start := line.find(word)) >= 0:
            text.stylize(colour, start, start + len(word))
    _console().print(text, soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def aligned(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The header and the rows as lines with aligned columns, safe to print."""
    from rich.cells import cell_len

    right = [column.startswith(">") for column in columns]
    lines = [[column.removeprefix(">") for column in columns], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(line[place]) for line in lines) for place in range(len(columns))]

    def padded(cell: str, place: int) -> str:
        gap = " " * (widths[place] - cell_len(cell))
        return gap + cell if right[place] else cell + gap

    return ["  ".join(padded(cell, place) for place, cell in enumerate(line)).rstrip() for line in lines]
