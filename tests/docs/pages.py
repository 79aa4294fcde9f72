"""The pages that people read, taken apart: blocks of code, headings, links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
PAGES = tuple(sorted(DOCS.rglob("*.md")))
OUTSIDE = (*sorted(ROOT.glob("*.md")), ROOT / "benchmarks" / "README.md")
EVERY_PAGE = (*PAGES, *OUTSIDE)

FENCED = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.M | re.S)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")
SHELL = ("bash", "sh", "console", "")


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def prose_of(page: Path) -> str:
    """The page without its blocks of code."""
    return FENCED.sub("", text_of(page))


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    text = text_of(page)
    return tuple(
        Block(page, text.count("\n", 0, found.start()) + 2, found["language"].strip(), found["text"])
        for found in FENCED.finditer(text)
    )


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading; the site is set to give the same."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", lambda link: link[1] or "", heading)
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")


@cache
def anchors(page: Path) -> frozenset[str]:
    found: dict[str, int] = {}
    for heading in re.findall(r"^#+[ \t]+(.+?)[ \t#]*$", prose_of(page), re.M):
        anchor = slug(heading)
        found[anchor] = found.get(anchor, -1) + 1
        if found[anchor]:
            found[f"{anchor}-{found[anchor]}"] = 0
    return frozenset(found)


@cache
def links(page: Path) -> tuple[str, ...]:
    """Targets of the page's links within the repository, code left out."""
    text = INLINE.sub("", prose_of(page))
    return tuple(target for target in LINK.findall(text) if "://" not in target and not target.startswith("mailto:"))


def target_of(page: Path, link: str) -> Path:
    path = link.partition("#")[0]
    return (page.parent / path).resolve() if path else page


def commands(block: Block) -> Iterator[list[str]]:
    """The commands of a shell block, word by word; comments, prompts, output and variables before them left out."""
    lines = block.text.replace("\\\n", " ").splitlines()
    prompted = [line.lstrip()[2:] for line in lines if line.lstrip().startswith("$ ")]
    for line in prompted or lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&;|()")
        lexer.whitespace_split = True
        try:
            words = list(lexer)
        except ValueError:  # no shell: a picture or the output of something
            continue
        command: list[str] = []
        for word in [*words, ";"]:
            if word and set(word) <= set("&;|()"):
                if command:
                    yield command
                command = []
            elif command or not re.fullmatch(r"[A-Z_][A-Z0-9_]*=.*", word):
                command.append(word)
