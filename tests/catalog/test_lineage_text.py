import re

from touchline.catalog import Node
from touchline.catalog.lineage_text import mermaid, tree

STUDY = Node("study", 'a "b" <c> `d` #1; &')
RUN = Node("run", "pretrain aaaa", ("seed 0",), parents=(STUDY,))
GONE = Node("version", "mjx_sac/1", trouble="deleted", parents=(RUN,))
MODEL = Node("version", "ddpg_finetuned version 1", ("sha256 1234",), parents=(RUN, GONE))


def test_the_tree_shows_what_each_part_is_made_from_below_it():
    assert tree(MODEL).splitlines() == [
        "ddpg_finetuned version 1",
        "│  sha256 1234",
        "├─ pretrain aaaa",
        "│  │  seed 0",
        '│  └─ a "b" <c> `d` #1; &',
        "└─ mjx_sac/1",
        "   │  ! deleted",
        "   └─ pretrain aaaa",
        "      │  seed 0",
        '      └─ a "b" <c> `d` #1; &',
    ]
    assert tree(MODEL, ascii_only=True).isascii()


def test_the_flowchart_has_each_part_once_and_an_arrow_for_each_reading():
    lines = mermaid(MODEL).splitlines()
    assert lines[0] == "flowchart TD"
    assert sum("pretrain aaaa" in line for line in lines) == 1
    assert [line.strip() for line in lines if "-->" in line] == ["n1 --> n0", "n3 --> n0", "n2 --> n1", "n1 --> n3"]
    assert [line for line in lines if line.endswith(":::trouble")] == ['  n3["mjx_sac/1<br/>! deleted"]:::trouble']


def test_no_label_can_end_its_quotes_or_be_read_as_markup():
    line = next(line for line in mermaid(MODEL).splitlines() if "{{" in line)
    label = re.fullmatch(r'  n2\{\{"(.*)"\}\}', line)[1]
    assert label == "a #34;b#34; #60;c#62; #96;d#96; #35;1; #38;"
