"""The pages in Traditional Chinese hold what the English ones hold, in the language of Taiwan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHINESE = ROOT / "docs" / "zh-TW"
INDEX = CHINESE / "index.md"
ENGLISH = {ROOT / "README.zh-TW.md": ROOT / "README.md"} | {
    page: ROOT / "docs" / page.name for page in sorted(CHINESE.glob("*.md")) if page != INDEX
}
TRANSLATED = [pytest.param(page, id=str(page.relative_to(ROOT))) for page in ENGLISH]
WRITTEN = [*TRANSLATED, pytest.param(INDEX, id=str(INDEX.relative_to(ROOT)))]

GLOSSARY = "> **用語**"
IDEOGRAPH = r"[\u3400-\u9fff]"
CODE = re.compile(r"(`+)(.+?)\1")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
FIGURE = re.compile(r"\d[\d,.]*\d|\d")
MAINLAND = """
    信息=資訊 軟件=軟體 硬件=硬體 網絡=網路 服務器=伺服器 數據=資料 默認=預設 內存=記憶體 顯存=顯示記憶體 視頻=影片
    線程=執行緒 進程(?!式)=行程 運行=執行 文檔(?!名|案)=文件 接口=介面 端口=連接埠 鏈接=連結 隊列=佇列 緩存=快取
    加載(?!入)=載入 調用=呼叫 字符=字元 異步=非同步 概率=機率 置信=信賴 採樣=取樣 魯棒=穩健 優化=最佳化 帶寬=頻寬
    兼容=相容 哈希=雜湊 克隆=複製 屏幕=螢幕 打印=印出 磁盤=磁碟 硬盤=硬碟 智能=智慧 集群=叢集 並行=平行 自定義=自訂
"""


@dataclass(frozen=True)
class Block:
    """A piece of a page that its translation has in the same place."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def prose(self) -> str:
        """The text as it is read: without code, and of links the words."""
        return "" if self.kind == "code" else LINK.sub(r"\2", CODE.sub("", self.text))


def kind_of(line: str) -> str:
    for pattern, kind in [
        (r"#+ ", f"heading of level {len(line) - len(line.lstrip('#'))}"),
        (r"\|", "table row"),
        (r"([-*+]|\d+\.) ", "list item"),
        (r"> ", "quotation"),
        (r"(!!!|\?\?\?\+?|===) ", "admonition"),
        (r"!\[", "picture"),
    ]:
        if re.match(pattern, line):
            return kind
    return "paragraph"


@cache
def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    fence, starts = "", True
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        words = line.strip()
        opened = re.match(r"```+", words)
        if fence:
            found[-1] = Block(page, found[-1].line, "code", f"{found[-1].text}\n{line}")
            fence = "" if words == fence else fence
            starts = not fence
        elif opened:
            fence = opened[0]
            found.append(Block(page, number, "code", line))
        elif not words:
            starts = True
        elif starts or kind_of(words) != "paragraph":
            found.append(Block(page, number, kind_of(words), words))
            starts = found[-1].kind.startswith(("heading", "table", "admonition"))
        else:
            found[-1] = Block(page, found[-1].line, found[-1].kind, f"{found[-1].text}\n{words}")
    return found


def side_by_side(page: Path) -> Iterator[tuple[Block, Block]]:
    """The blocks of the English page beside those of its translation, whose glossary has no counterpart."""
    theirs = [block for block in blocks(page) if not block.text.startswith(GLOSSARY)]
    for english, chinese in zip_longest(blocks(ENGLISH[page]), theirs):
        assert english, f"{chinese} is not in the English page"
        assert chinese, f"{english} is not in {page.name}"
        assert english.kind == chinese.kind, f"{english} is a {english.kind}, {chinese} a {chinese.kind}"
        yield english, chinese


def original(block: Block) -> list[str]:
    """Where its links and pictures lead; what leads to a page that is translated leads to the English one."""
    found = []
    for sign, _, target in LINK.findall(block.text):
        if re.match(r"\w+:", target):
            found.append(sign + target)
            continue
        name, hash_sign, anchor = target.partition("#")
        place = (block.page.parent / name).resolve() if name else block.page
        english = ENGLISH.get(place, place)
        found.append(sign + (str(english) if english in ENGLISH.values() else f"{place}{hash_sign}{anchor}"))
    return sorted(found)


def anchors(page: Path) -> set[str]:
    """The names of its headings, as GitHub makes them."""
    titles = [block.text.lstrip("# ") for block in blocks(page) if block.kind.startswith("heading")]
    plain = [LINK.sub(r"\2", title).replace("`", "").lower() for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_code(page: Path) -> None:
    for english, chinese in side_by_side(page):
        if english.kind == "code":
            assert english.text == chinese.text, f"{english} and {chinese} are different code"
        else:
            ours, theirs = (sorted(code for _, code in CODE.findall(each.text)) for each in (english, chinese))
            assert ours == theirs, f"{english} and {chinese} name different code"


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_figures(page: Path) -> None:
    for english, chinese in side_by_side(page):
        ours, theirs = (sorted(FIGURE.findall(each.prose)) for each in (english, chinese))
        assert ours == theirs, f"{english} and {chinese} have different figures"


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_links_and_pictures(page: Path) -> None:
    for english, chinese in side_by_side(page):
        assert original(english) == original(chinese), f"{english} and {chinese} lead elsewhere"


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_columns(page: Path) -> None:
    for english, chinese in side_by_side(page):
        if english.kind == "table row":
            ours, theirs = english.text.count("|"), chinese.text.count("|")
            assert ours == theirs, f"{english} and {chinese} have different columns"


@pytest.mark.parametrize("page", WRITTEN)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    for block in blocks(page):
        for _, _, target in LINK.findall(block.text):
            name, _, anchor = target.partition("#")
            place = (page.parent / name).resolve() if name else page
            if re.match(r"\w+:", target):
                continue
            assert place.exists(), f"{block} links to {target}, which does not exist"
            assert not anchor or anchor in anchors(place), f"{block} links to {target}, which has no such heading"


@pytest.mark.parametrize("page", WRITTEN)
def test_every_character_is_one_of_those_that_taiwan_writes(page: Path) -> None:
    """Big5 has what is written there; nearly all Simplified characters are missing, save for a few."""
    for block in blocks(page):
        for character in re.findall(IDEOGRAPH, block.text):
            assert character not in "个体着儿圣弃", f"{block} has {character}"
            assert character.encode("big5", "ignore"), f"{block} has {character}, which is not in Big5"


@pytest.mark.parametrize("page", WRITTEN)
def test_words_are_those_of_taiwan(page: Path) -> None:
    for block in blocks(page):
        for theirs, ours in (pair.split("=") for pair in MAINLAND.split()):
            found = re.search(theirs, block.text)
            assert not found, f"{block} has {found[0]}, which is {ours} in Taiwan"


@pytest.mark.parametrize("page", WRITTEN)
def test_punctuation_is_full_width_and_latin_words_stand_apart(page: Path) -> None:
    half = re.compile(rf"{IDEOGRAPH}[,;:?!()A-Za-z0-9`]|[,;:?!()A-Za-z0-9%`]{IDEOGRAPH}")
    for block in blocks(page):
        if block.kind != "code":
            found = half.search(LINK.sub(r"\2", block.text))
            assert not found, f"{block} has {found[0]}"


@pytest.mark.parametrize("page", WRITTEN)
def test_a_paragraph_is_one_line_for_a_break_would_show_as_a_gap(page: Path) -> None:
    for block in blocks(page):
        assert block.kind == "code" or "\n" not in block.text, f"{block} goes on in the next line"


def test_the_index_names_every_page_once() -> None:
    named = [
        ENGLISH.get(place, place).name
        for block in blocks(INDEX)
        for _, _, target in LINK.findall(block.text)
        if (place := (INDEX.parent / target).resolve()).is_relative_to(ROOT / "docs")
    ]
    assert sorted(named) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
