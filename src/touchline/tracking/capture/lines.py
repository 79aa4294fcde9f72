"""What a person sees of a terminal's output: the last state of each line, without the redraws in between."""

from __future__ import annotations

import re

LONGEST_LINE = 10_000
"""Characters after which a line is broken."""
REDRAW_SECONDS = 10.0
"""Lines that were redrawn so lately may be redrawn again, so they wait."""
SNAPSHOT_SECONDS = 60.0
"""An unfinished or redrawn part is told at most so often."""

_TOKENS = re.compile(
    r"(\r?\n|\r|\x08|\x1b\[[0-9;:?<=>!]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[()][A-Z0-9]|\x1b[=>78A-Za-z])"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:?<=>!]*[ -/]*|\][^\x07\x1b]{0,2000}\x1b?|[()])?$")


class Lines:
    """Follows the cursor through carriage returns and the moves of progress displays; used by one thread at a time.

    A line counts as settled once the cursor has left it for good: at once for plain output, and when a display
    that moves back up has moved on. Colours and other styles are left out.
    """

    def __init__(self) -> None:
        self._lines = [""]
        self._row = 0
        self._column = 0
        self._height = 0
        self._redrawn = float("-inf")
        self._told: float | None = None
        self._snapshot = ""
        self._carry = ""

    def feed(self, text: str, now: float) -> None:
        """Take what was written; ``now`` in seconds of any clock that never goes back."""
        if self._told is None:
            self._told = now
        text, self._carry = self._carry + text, ""
        if "\x1b" in text and (unfinished := _UNFINISHED.search(text)):
            self._carry = unfinished[0]
            text = text[: unfinished.start()]
        for place, part in enumerate(_TOKENS.split(text)):
            if place % 2:
                self._control(part, now)
            elif part:
                self._write(part)

    def settled(self, now: float) -> list[str]:
        """Remove and return the lines that nothing will change any more; once a minute a look at the others too."""
        if now - self._redrawn >= REDRAW_SECONDS:
            self._height = 0
        count = min(len(self._lines) - 1 - self._height, self._row)
        lines: list[str] = []
        if count > 0:
            lines = [line.rstrip() for line in self._lines[:count]]
            del self._lines[:count]
            self._row -= count
            self._told = now
        elif self._told is not None and now - self._told >= SNAPSHOT_SECONDS:
            lines = self._look()
            self._told = now
        return lines

    def rest(self) -> list[str]:
        """Remove and return all that is left."""
        lines = self._look()
        self._lines, self._row, self._column = [""], 0, 0
        return lines

    def _look(self) -> list[str]:
        lines = [line.rstrip() for line in self._lines]
        while lines and not lines[-1]:
            lines.pop()
        text = "\n".join(lines)
        if text == self._snapshot:
            return []
        self._snapshot = text
        return lines

    def _write(self, part: str) -> None:
        while part:
            line, column = self._lines[self._row], self._column
            head, part = part[: LONGEST_LINE - column], part[LONGEST_LINE - column :]
            if column > len(line):
                line = line.ljust(column)
            self._lines[self._row] = line[:column] + head + line[column + len(head) :]
            self._column = column + len(head)
            if part or self._column >= LONGEST_LINE:
                self._down()
                self._column = 0

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append("")

    def _up(self, count: int, now: float) -> None:
        # Rows above the first one were told already; a display that begins there is drawn anew from the first.
        wanted = self._row - count
        self._height = max(self._height, len(self._lines) - 1 - wanted)
        self._redrawn = now
        self._row = max(wanted, 0)

    def _control(self, token: str, now: float) -> None:
        if token.endswith("\n"):
            self._down()
            self._column = 0
        elif token == "\r":
            self._column = 0
        elif token == "\x08":
            self._column = max(self._column - 1, 0)
        elif token.startswith("\x1b["):
            self._move(token[-1], token[2:-1], now)

    def _move(self, final: str, parameters: str, now: float) -> None:
        first = parameters.partition(";")[0]
        count = int(first) if first.isdigit() else 0
        line = self._lines[self._row]
        if final in "AF":
            self._up(max(count, 1), now)
            self._column = 0 if final == "F" else self._column
        elif final in "BE":
            for _ in range(min(max(count, 1), len(self._lines) - 1 - self._row)):
                self._down()
            self._column = 0 if final == "E" else self._column
        elif final == "C":
            self._column = min(self._column + max(count, 1), LONGEST_LINE - 1)
        elif final == "D":
            self._column = max(self._column - max(count, 1), 0)
        elif final == "G":
            self._column = min(max(count, 1) - 1, LONGEST_LINE - 1)
        elif final == "K":
            kept = {0: line[: self._column], 1: " " * self._column + line[self._column :]}
            self._lines[self._row] = kept.get(count, "")
        elif final == "J" and count == 0:
            self._lines[self._row] = line[: self._column]
            del self._lines[self._row + 1 :]
        elif final in "JH":
            self._lines, self._row, self._column = [""], 0, 0
