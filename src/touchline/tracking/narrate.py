"""A journal's events as lines that a person reads."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from touchline.tracking.decisions import headline_of_decision
from touchline.tracking.encoding import encode_number
from touchline.tracking.journal import Event

_LONGEST = 400


def narrate(event: Event) -> list[str]:
    """The lines of one event: local time, sequence number, what happened. Safe to print on a terminal."""
    tell = _TELLERS.get(event.kind)
    text = tell(event) if tell else f"{event.kind}: {_pairs(event.payload)}"
    clock = time.strftime("%H:%M:%S", time.localtime(event.time))
    lines = [line for line in text.splitlines() if line.strip()] or [event.kind]
    return [f"{clock} {event.seq:>7}  {_short(clean(line))}" for line in lines]


def clean(text: object) -> str:
    """The text without control characters, which could change the terminal; a line break becomes a space."""
    return "".join(char if char.isprintable() else _visible(char) for char in str(text))


def number(value: Any) -> str:
    """A number in few characters; anything else as text."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return clean(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.6g}" if math.isfinite(value) else str(encode_number(value))


def _visible(char: str) -> str:
    return " " if char in "\t\r\n" else f"\\x{ord(char):02x}"


def _short(line: str) -> str:
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _pairs(payload: Mapping[str, Any], sign: str = "=") -> str:
    return "  ".join(f"{name}{sign}{number(value)}" for name, value in payload.items())


def headline(event: Event) -> str:
    """An alert's title and text in one line."""
    return headline_of(event.payload.get("title"), event.payload.get("text"))


def headline_of(title: Any, text: Any) -> str:
    """A title and a text in one line."""
    title, text = (" ".join(str(part or "").split()) for part in (title, text))
    return f"{title.rstrip('.')}. {text}" if text else title


def _step(event: Event) -> str:
    return "" if event.step is None else f"step {event.step:,}"


def _start(event: Event) -> str:
    process = event.payload["process"]
    how = "resumed" if event.payload.get("resumed") else "started"
    return f"{how} {event.payload['job']} by process {process['pid']} on {process['host']}"


def _rewind(event: Event) -> str:
    before, restored = event.payload.get("from"), event.payload.get("restored")
    return (
        f"went back to {_step(event)}"
        + (f" from step {before:,}" if isinstance(before, int) else "")
        + (", restored from a checkpoint's copy" if restored else "")
    )


def _end(event: Event) -> str:
    reason = event.payload.get("reason")
    return f"ended: {event.payload['status']}" + (f", {reason}" if reason else "")


def _file(event: Event) -> str:
    caption = event.payload.get("caption")
    return f"{event.kind} {event.payload['name']}  {_step(event)}  {event.payload['path']}" + (
        f"  {caption}" if caption else ""
    )


def _histogram(event: Event) -> str:
    edges, counts = event.payload.get("edges") or [0], event.payload.get("counts") or []
    return (
        f"histogram {event.payload['name']}  {_step(event)}  {sum(counts):,} values "
        f"from {number(edges[0])} to {number(edges[-1])}"
    )


def _milestone(event: Event) -> str:
    aliases = ", ".join(f"@{alias}" for alias in event.payload.get("aliases", ()))
    return f"milestone {event.payload['name']} version {event.payload['version']} is {aliases or 'without alias'}"


_TELLERS: dict[str, Callable[[Event], str]] = {
    "start": _start,
    "rewind": _rewind,
    "metrics": lambda event: f"{_step(event)}  {_pairs(event.payload)}",
    "duplicate": lambda event: f"{_step(event)}  a second value, kept aside: {_pairs(event.payload)}",
    "console": lambda event: "\n".join(
        f"{event.payload.get('stream', 'stdout')} | {line}"
        for line in str(event.payload.get("text", "")).splitlines()
    ),
    "alert": lambda event: f"ALERT ({event.payload.get('level', 'warn')}): {headline(event)}",
    "decision": lambda event: f"DECISION: {headline_of_decision(event.payload)}",
    "problem": lambda event: f"problem: {event.payload.get('metric')}: {event.payload.get('reason')}",
    "artifact": _file,
    "video": _file,
    "image": _file,
    "histogram": _histogram,
    "table": lambda event: f"table {event.payload['name']}  {_step(event)}  {len(event.payload['rows']):,} rows",
    "milestone": _milestone,
    "checkpoint": lambda event: f"checkpoint  {_step(event)}  {event.payload.get('directory')}",
    "end": _end,
}
