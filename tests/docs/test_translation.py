"""The pages in Traditional Chinese hold what the English ones hold, in the language of Taiwan."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, README, ROOT, links, name_of, target_of

INDEX = DOCS / "zh-TW" / "index.md"
ENGLISH = {ROOT / "README.zh-TW.md": README} | {
    page: DOCS / page.name for page in sorted(INDEX.parent.glob("*.md")) if page != INDEX
}
TRANSLATED = [pytest.param(page, id=name_of(page)) for page in ENGLISH]
WRITTEN = [*TRANSLATED, pytest.param(INDEX, id=name_of(INDEX))]

GLOSSARY = "> **用語**"
IDEOGRAPH = r"[\u3400-\u9fff]"
CODE = re.compile(r"(`+)(.+?)\1", re.S)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^()\s]+)\)")
FIGURE = re.compile(r"\d[\d,.]*\d|\d")
NUMBERS = {
    "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "third": 3, "quarter": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10,
}  # fmt: skip
NUMERALS = {"三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10, "十一": 11, "十二": 12}
"""Numbers that are written as words; up to two, the languages count otherwise: "both", "twice", "一"."""
SIMPLIFIED_IN_BIG5 = "万与么价优体儿听圣坏宁怀怜惊愿扑据机极构柜洁种确离筑网胜虫触"
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
        return f"{name_of(self.page)}:{self.line}"

    @property
    def code(self) -> list[str]:
        """A block of code, or what is set as code within a sentence, in any order."""
        if self.kind == "code":
            return [self.text]
        return sorted(" ".join(code.split()) for _, code in CODE.findall(self.text))

    @property
    def figures(self) -> list[list[str]]:
        """Of each cell of a table, or of the whole, in any order."""
        return [sorted(FIGURE.findall(cell)) for cell in self.prose.split("|")]

    @property
    def numbers(self) -> set[int]:
        """Those written as words, a fraction's by what it divides into: "a tenth", "十分之一"."""
        english = {NUMBERS[word] for word in re.findall(r"[a-z]+?(?=s?\b)", self.prose.lower()) if word in NUMBERS}
        return english | {NUMERALS[numeral] for numeral in re.findall("[三四五六七八九]|十[一二]?", self.prose)}

    @property
    def prose(self) -> str:
        """What is no code, without the targets of links."""
        return "" if self.kind == "code" else LINK.sub(r"\2", CODE.sub("", self.text))

    @property
    def targets(self) -> list[str]:
        """Where links and pictures lead; what leads to a translated page leads to the English one."""
        found = []
        for sign, _, target in LINK.findall(self.text):
            if "://" in target:
                found.append(sign + target)
                continue
            place = target_of(self.page, target)
            english = {**ENGLISH, INDEX: DOCS / "index.md"}.get(place, place)
            anchor = (
                "" if english in ENGLISH.values() else target.partition("#")[2]
            )  # a translated heading has another
            found.append(f"{sign}{english}#{anchor}")
        return sorted(found)


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


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_code(page: Path) -> None:
    for english, chinese in side_by_side(page):
        assert english.code == chinese.code, f"{english} and {chinese} have different code"


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_figures(page: Path) -> None:
    for english, chinese in side_by_side(page):
        assert english.figures == chinese.figures, f"{english} and {chinese} have different figures"


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_numbers_in_words(page: Path) -> None:
    for english, chinese in side_by_side(page):
        assert english.numbers == chinese.numbers, f"{english} and {chinese} have different numbers"


def test_a_number_in_words_that_changed_would_be_found() -> None:
    row = Block(README, 1, "list item", "Three of four tracks are a tenth as fast; two thirds are not.")
    assert row.numbers == replace(row, text="四個平台有三個的速度只有十分之一。").numbers == {3, 4, 10}
    assert replace(row, text="會慢三到四倍").numbers == {3, 4}


@pytest.mark.parametrize("page", TRANSLATED)
def test_a_translation_has_the_same_links_and_pictures(page: Path) -> None:
    for english, chinese in side_by_side(page):
        assert english.targets == chinese.targets, f"{english} and {chinese} lead elsewhere"


def test_a_change_of_one_alone_would_be_found() -> None:
    row = Block(README, 1, "table row", "| `run.log` of [ten](docs/metrics.md) | 2 µs | 2.0 µs |")
    for old, new in (("2 µs | 2.0 µs", "2.0 µs | 2 µs"), ("run.log", "run.tell"), ("metrics", "tracking")):
        other = replace(row, text=row.text.replace(old, new))
        assert (row.code, row.figures, row.targets) != (other.code, other.figures, other.targets)


def not_of_taiwan(text: str) -> list[str]:
    """Characters that Big5 lacks, as nearly all Simplified ones, and words of the Mainland with those of Taiwan."""
    characters = [
        one for one in re.findall(IDEOGRAPH, text) if one in SIMPLIFIED_IN_BIG5 or not one.encode("big5", "ignore")
    ]
    pairs = (pair.split("=") for pair in MAINLAND.split())
    return characters + [f"{theirs} ({ours})" for theirs, ours in pairs if re.search(theirs, text)]


@pytest.mark.parametrize("page", WRITTEN)
def test_characters_and_words_are_those_of_taiwan(page: Path) -> None:
    for block in blocks(page):
        assert not not_of_taiwan(block.text), f"{block} has {', '.join(not_of_taiwan(block.text))}"


def test_what_is_not_of_taiwan_would_be_found() -> None:
    frequent = "这个们来时说国为对没发经动过还进样种总从现长当点开关问实无门间见书学习机网体数据优极确"
    assert not_of_taiwan(frequent) == list(frequent)
    assert not_of_taiwan("默認的服務器") == ["服務器 (伺服器)", "默認 (預設)"]


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
    named = [ENGLISH.get(page, page) for link in links(INDEX) if (page := target_of(INDEX, link)).parent != ROOT]
    assert sorted(named) == sorted([*DOCS.glob("*.md"), DOCS / "reference" / "index.md"])
