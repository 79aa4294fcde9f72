"""What MkDocs does not do by itself: a few pages from outside of docs/, and links that leave docs/.

Markdown in the repository links to files as they lie there, so that it can be read there too. In the site a link to
a file that has become a page leads to that page; of a link to any other file only the words are left.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
FROM_OUTSIDE = {
    "benchmarks/README.md": "benchmarks.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
    "SECURITY.md": "security.md",
}
"""File of the repository → page of the site."""
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
FROM_A_NETWORK = re.compile(
    r"<(?:script|img|iframe|video|audio|source)\b[^>]*\ssrc=\"?((?:https?:)?//[^\"\s>]+)"
    r"|<link\b(?=[^>]*rel=\"?(?:stylesheet|preload|icon|preconnect))[^>]*\shref=\"?((?:https?:)?//[^\"\s>]+)"
)
FENCED = re.compile(r"^(`{3,}|~{3,})[^\n]*\n.*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages from outside."""
    from mkdocs.structure.files import File

    for source, page in FROM_OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuse a page that would ask a network when it is opened; mend what would shut somebody out.

    Pages that are not English name their language, and the keyboard skips the theme's inputs that nobody sees.
    """
    from mkdocs.exceptions import PluginError

    if found := FROM_A_NETWORK.search(output):
        raise PluginError(
            f"{page.file.src_uri} would load {found[1] or found[2]} when it is opened. Leave that out of mkdocs.yml."
        )
    output = output.replace('<input class="md-option"', '<input class="md-option" tabindex="-1"')
    language, _, _ = page.file.src_uri.partition("/")
    return output.replace('<html lang="en"', f'<html lang="{language}"', 1) if language == "zh-TW" else output


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let links lead to pages of the site, or leave their words."""
    here = page.file.src_uri
    source = next((path for path, made in FROM_OUTSIDE.items() if made == here), f"docs/{here}")
    pages = {f"docs/{file.src_uri}": file.src_uri for file in files} | FROM_OUTSIDE
    return linked(markdown, source, here, pages)


def linked(markdown: str, source: str, here: str, pages: dict[str, str]) -> str:
    """Rewrite the links of ``source``, which becomes the page ``here``; code is left alone."""

    def lead(match: re.Match[str]) -> str:
        words, target = match.groups()
        if "://" in target or target.startswith(("#", "mailto:")):
            return match[0]
        path, hash_, anchor = target.partition("#")
        target_path = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        found = pages.get(target_path)
        if found is None:  # what is not there at all is left for MkDocs to complain of
            return words if (ROOT / target_path).exists() else match[0]
        return f"[{words}]({posixpath.relpath(found, posixpath.dirname(here) or '.')}{hash_}{anchor})"

    told, end = [], 0
    for code in FENCED.finditer(markdown):
        told += [LINK.sub(lead, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*told, LINK.sub(lead, markdown[end:])])
