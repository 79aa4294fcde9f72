from html.parser import HTMLParser

from touchline.catalog import Node
from touchline.catalog.lineage_page import page

GONE = Node("run", "<script>alert(1)</script>", ("a & b",), "deleted")
MODEL = Node("version", "ddpg_finetuned version 1", parents=(GONE,))


class Reader(HTMLParser):
    """The tags and texts of a page, and that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.open, self.addresses = [], [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.open += [] if tag == "meta" else [tag]
        self.addresses += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(node):
    reader = Reader()
    reader.feed(page(node))
    assert reader.open == []
    return reader


def test_the_page_needs_nothing_else():
    found = read(MODEL)
    assert "script" not in found.tags
    assert found.addresses == []
    assert "url(" not in page(MODEL)
    assert "@import" not in page(MODEL)


def test_it_fits_a_telephone_and_both_modes():
    assert 'name="viewport"' in page(MODEL)
    assert "prefers-color-scheme: dark" in page(MODEL)


def test_what_is_named_is_text_and_trouble_is_told():
    found = read(MODEL)
    assert {"<script>alert(1)</script>", "a & b", "deleted"} <= set(found.texts)
    assert any("1 of these parts is not as recorded" in text for text in found.texts)
    assert found.tags.count("article") == 2
