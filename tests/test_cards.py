"""Cards of notebooks: what is said is escaped, what cannot be drawn is left out."""

from __future__ import annotations

import math
import xml.etree.ElementTree as xml

from hypothesis import example, given
from hypothesis import strategies as st

from touchline.cards import HEIGHT, WIDTH, card, line, table


@given(st.text(), st.text(), st.lists(st.lists(st.text(), min_size=2, max_size=2), max_size=3))
def test_whatever_is_said_stays_text(title: str, sentence: str, rows: list[list[str]]) -> None:
    made = card(title, [sentence], table(("a", "b"), rows))
    assert made.count("<script") == 0
    opened = {part.split(">")[0].split(" ")[0] for part in made.split("<")[1:]}
    assert opened <= {"div", "/div", "b", "/b", "table", "/table", "tr", "/tr", "th", "/th", "td", "/td"}


def test_a_link_leads_to_the_web_and_nowhere_else() -> None:
    made = card("t", [], links=[("W&B", "https://wandb.ai/x"), ("bad", "javascript:alert(1)"), ("file", "/etc")])
    assert 'href="https://wandb.ai/x"' in made and made.count("<a ") == 1


numbers = st.floats(-1e300, 1e300) | st.sampled_from([math.nan, math.inf, -math.inf])


@example([(0, 0.0), (1, 2.225073858507203e-309)])
@example([(0, -1.7e308), (1, 1.7e308)])
@given(st.lists(st.tuples(st.integers(0, 10**9), numbers), max_size=40, unique_by=lambda point: point[0]))
def test_a_line_lies_within_its_picture_whatever_its_values(points: list[tuple[float, float]]) -> None:
    made = line(sorted(points), 'about "<x>"')
    if sum(math.isfinite(y) for _, y in points) < 2:
        assert made == ""
        return
    drawn = xml.fromstring(made)
    for pair in drawn[0].attrib["points"].split():
        x, y = map(float, pair.split(","))
        assert 0.0 <= x <= WIDTH and 0.0 <= y <= HEIGHT
