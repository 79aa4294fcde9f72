"""The troubleshooting quotes messages as Touchline says them."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.docs.pages import DOCS, ROOT, blocks

VALUE = "\0"
PAGE = DOCS / "troubleshooting.md"
QUOTED = [line for block in blocks(PAGE) if block.language == "text" for line in block.text.splitlines() if line]


@cache
def said() -> str:
    """Every text of the source, with a mark where a value is put in."""
    texts = []
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(str(p.value) if isinstance(p, ast.Constant) else VALUE for p in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return "\n".join(texts)


def parts(message: str) -> list[str]:
    """What stands between the values of a message, without what is only punctuation."""
    return [part for piece in message.split("…") if len(part := piece.strip(" ().,;:!")) > 2]


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_is_one(message: str) -> None:
    for part in parts(message):
        assert part in said(), f"nothing in src says {part!r}"


def test_enough_is_quoted_and_another_sentence_would_be_found() -> None:
    assert len(QUOTED) > 40
    assert "The journal is feeling unwell" not in said()
