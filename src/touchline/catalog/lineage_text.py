"""A lineage as text: a tree for a terminal, a flowchart for mermaid."""

from __future__ import annotations

from collections.abc import Iterator

from touchline.catalog.lineage import Node

_SHAPES = {
    "version": ("[", "]"),
    "model": ("[/", "/]"),
    "run": ("(", ")"),
    "checkpoint": ("[(", ")]"),
    "study": ("{{", "}}"),
}
"""Brackets by kind: https://mermaid.js.org/syntax/flowchart.html."""
_ESCAPED = str.maketrans({character: f"#{ord(character)};" for character in '#"&<>`'})
"""Mermaid's own entities, by code point. Inside of quotes it still reads HTML, Markdown and entities."""


def tree(node: Node, *, ascii_only: bool = False) -> str:
    """Draw the tree, what a thing was made from below it; its facts stand under its title."""
    return "\n".join(line for line, _ in tree_lines(node, ascii_only=ascii_only))


def tree_lines(node: Node, *, ascii_only: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the tree's lines, each with what it tells: ``title``, ``fact`` or ``trouble``."""
    bars = ("|- ", "`- ", "|  ", "   ") if ascii_only else ("├─ ", "└─ ", "│  ", "   ")
    yield from _lines(node, "", "", bars)


def _lines(node: Node, first: str, rest: str, bars: tuple[str, str, str, str]) -> Iterator[tuple[str, str]]:
    branch, last_branch, bar, gap = bars
    yield f"{first}{node.title}", "title"
    below = rest + (bar if node.parents else gap)
    for fact in node.facts:
        yield below + fact, "fact"
    if node.trouble:
        yield f"{below}! {node.trouble}", "trouble"
    for i, parent in enumerate(node.parents):
        last = i == len(node.parents) - 1
        yield from _lines(parent, rest + (last_branch if last else branch), rest + (gap if last else bar), bars)


def mermaid(node: Node) -> str:
    """Return a flowchart for mermaid, from the first thing to the model; what appears twice is one box in it."""
    names: dict[Node, str] = {}
    for one in node.walk():
        names.setdefault(one, f"n{len(names)}")
    lines = ["flowchart TD"]
    for one, name in names.items():
        left, right = _SHAPES[one.kind]
        trouble = (f"! {one.trouble}",) if one.trouble else ()
        label = "<br/>".join(text.translate(_ESCAPED) for text in (one.title, *one.facts, *trouble))
        lines.append(f'  {name}{left}"{label}"{right}{":::trouble" if one.trouble else ""}')
    edges = {(names[parent], name): None for one, name in names.items() for parent in one.parents}
    lines += [f"  {parent} --> {name}" for parent, name in edges]
    lines.append("  classDef trouble stroke:#c62828,stroke-width:2px,stroke-dasharray:5 4")
    return "\n".join(lines)
