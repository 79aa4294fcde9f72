"""No link leads nowhere, no page lies apart."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mkdocs_hooks import FROM_OUTSIDE, linked, on_post_page
from tests.docs.pages import DOCS, EVERY_PAGE, PAGES, README, ROOT, anchors, links, name_of, target_of


@pytest.mark.parametrize("page", EVERY_PAGE, ids=name_of)
def test_every_link_leads_to_a_file_and_every_anchor_to_a_heading(page: Path) -> None:
    for link in links(page):
        target = target_of(page, link)
        assert target.exists(), f"{name_of(page)} links to {link}, which is not there"
        if "#" in link and target.suffix == ".md":
            anchor = link.partition("#")[2]
            assert anchor in anchors(target), f"{name_of(page)} links to {link}; {target.name} has no such heading"


def test_every_page_is_two_clicks_from_the_readme() -> None:
    first = {target_of(README, link) for link in links(README)}
    second = {target_of(page, link) for page in first if page.suffix == ".md" for link in links(page)}
    assert [name_of(page) for page in PAGES if page not in first | second] == []


def in_navigation() -> list[str]:
    class Loader(yaml.SafeLoader):
        """Takes MkDocs' own tags for nothing."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: None)

    def pages(part: object) -> list[str]:
        if isinstance(part, str):
            return [part]
        parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
        return [page for each in parts for page in pages(each)]

    return pages(yaml.load((ROOT / "mkdocs.yml").read_text(), Loader)["nav"])


def test_the_navigation_has_every_page_once() -> None:
    ours = [str(page.relative_to(DOCS)) for page in PAGES]
    assert sorted(in_navigation()) == sorted([*ours, *FROM_OUTSIDE.values()])


def test_a_link_out_of_the_documentation_leads_to_the_page_that_was_made_of_it_or_leaves_its_words() -> None:
    pages = {"docs/gates.md": "gates.md"} | FROM_OUTSIDE
    links = "[a](../benchmarks/README.md#x) [b](../src/touchline/cli.py) [x](../src/none.py) [c](gates.md) [d](#here)"
    text = f"{links}\n```\n[g](h)\n```\n"
    told = linked(text, "docs/reference/../index.md", "index.md", pages)
    assert told.startswith("[a](benchmarks.md#x) b [x](../src/none.py) [c](gates.md) [d](#here)")
    assert told.endswith("```\n[g](h)\n```\n")


def test_the_keyboard_skips_inputs_of_the_theme_that_nobody_sees_and_a_page_names_its_language() -> None:
    pytest.importorskip("mkdocs", reason="the site is made with mkdocs")
    made = '<html lang="en"><input class="md-option" aria-hidden="true" type="radio"></html>'
    page = SimpleNamespace(file=SimpleNamespace(src_uri="zh-TW/index.md"))
    told = '<html lang="zh-TW"><input class="md-option" tabindex="-1" aria-hidden="true" type="radio"></html>'
    assert on_post_page(made, page, None) == told
